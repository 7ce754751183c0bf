//! The battery: every known way to stay past the end, on booted hosts. `cargo xtask battery` prints the whole table.
//!
//! Not part of `cargo xtask test` until each case holds with the receipt's comparison: some still say "not yet" and hold, and the runner
//! fails on that too.

use stint_e2e::battery::{family, run, text};

fn holds(name: &str) {
    let family = family(name).expect("a family of this name");
    let report = run(family, |_| true);
    println!("{}", text(&report));
    assert!(report.is_good(), "{}", text(&report));
}

#[test]
#[ignore = "cargo xtask battery runs it"]
fn processes_and_connections_of_a_login_end_with_its_window() {
    holds("processes");
}

#[test]
#[ignore = "cargo xtask battery runs it"]
fn work_that_a_login_put_off_does_not_run_after_its_window() {
    holds("schedulers");
}

#[test]
#[ignore = "cargo xtask battery runs it"]
fn ways_back_in_that_a_login_prepared_do_not_open() {
    holds("access");
}

#[test]
#[ignore = "cargo xtask battery runs it"]
fn a_limited_sudo_grant_gives_no_more_than_it_says() {
    holds("limited");
}

#[test]
#[ignore = "cargo xtask battery runs it"]
fn what_full_root_left_ends_or_stands_in_the_receipt() {
    holds("root");
}

#[test]
#[ignore = "cargo xtask battery runs it"]
fn what_sudo_of_a_standing_login_left_ends_and_the_login_s_own_goes_on() {
    holds("standing");
}

#[test]
#[ignore = "cargo xtask battery runs it"]
fn root_s_hand_on_stint_itself_is_told() {
    holds("tampering");
}
