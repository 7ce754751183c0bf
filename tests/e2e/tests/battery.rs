//! The battery: every known way to stay past the end, on booted hosts. `cargo xtask battery` prints the whole table.

use std::sync::{PoisonError, RwLock};

use stint_e2e::battery::{family, run, text};

/// Whoever tries something runs beside others, or alone.
static BESIDE: RwLock<()> = RwLock::new(());

fn holds(name: &str) {
    let family = family(name).expect("a family of this name");
    let beside = BESIDE.read().unwrap_or_else(PoisonError::into_inner);
    let mut report = run(family, |_| true);
    drop(beside);
    println!("{}", text(&report));
    // Two seconds are two seconds. But other tests run beside this one, so what was late, and nothing worse, is tried once more, alone.
    if let Some(numbers) = report.worth_another_try() {
        eprintln!("tried once more:\n{}", text(&report.bad()));
        let _alone = BESIDE.write().unwrap_or_else(PoisonError::into_inner);
        report = run(family, |number| numbers.contains(number));
        println!("{}", text(&report));
    }
    assert!(report.is_good(), "not as the table says:\n{}", text(&report.bad()));
}

#[test]
fn processes_and_connections_of_a_login_end_with_its_window() {
    holds("processes");
}

#[test]
fn work_that_a_login_put_off_does_not_run_after_its_window() {
    holds("schedulers");
}

#[test]
fn ways_back_in_that_a_login_prepared_do_not_open() {
    holds("access");
}

#[test]
fn a_limited_sudo_grant_gives_no_more_than_it_says() {
    holds("limited");
}

#[test]
fn what_full_root_left_ends_or_stands_in_the_receipt() {
    holds("root");
}

#[test]
fn what_sudo_of_a_standing_login_left_ends_and_the_login_s_own_goes_on() {
    holds("standing");
}

#[test]
fn root_s_hand_on_stint_itself_is_told() {
    holds("tampering");
}

#[test]
fn a_host_that_falls_silent_ends_what_it_gave() {
    holds("silence");
}
