//! Each warning once, in time, and again after an extension.

use stint_grant::acceptance::AcceptedGrant;
use stint_grant::terms::CheckedTerms;

use super::super::live::LiveGrant;
use super::super::warnings::Warnings;
use super::common::World;
use super::*;

fn live(from: i64, until: i64) -> Vec<LiveGrant> {
    let terms = World::new().terms;
    let grant = Grant { from: at(from), until: at(until), ..super::grant(&terms) };
    let terms = CheckedTerms::parse(&grant.terms).unwrap();
    vec![LiveGrant { grant: AcceptedGrant { grant, terms, reviewers: vec![] } }]
}

fn minutes(warnings: &mut Warnings, live: &[LiveGrant], offset: i64) -> Vec<u32> {
    warnings.due(live, at(offset)).into_iter().map(|w| w.minutes).collect()
}

#[test]
fn users_are_warned_15_5_and_1_minutes_before_the_end_and_each_time_once() {
    let (live, mut warnings) = (live(0, 3600), Warnings::default());
    let mut told = Vec::new();
    for second in 0..3600 {
        for minutes in minutes(&mut warnings, &live, second) {
            told.push((second, minutes));
        }
    }
    assert_eq!(told, [(3600 - 900, 15), (3600 - 300, 5), (3600 - 60, 1)]);
}

#[test]
fn a_short_window_is_not_warned_of_what_it_never_had() {
    let (live, mut warnings) = (live(0, 120), Warnings::default());
    assert!(minutes(&mut warnings, &live, 0).is_empty());
    assert_eq!(minutes(&mut warnings, &live, 61), [1]);
}

#[test]
fn a_warden_that_starts_late_gives_no_wrong_number() {
    let (live, mut warnings) = (live(0, 3600), Warnings::default());
    assert!(minutes(&mut warnings, &live, 3600 - 200).is_empty());
    assert_eq!(minutes(&mut warnings, &live, 3600 - 59), [1]);
}

#[test]
fn an_extension_makes_warnings_due_again() {
    let mut warnings = Warnings::default();
    assert_eq!(minutes(&mut warnings, &live(0, 3600), 2700), [15]);
    let longer = live(0, 4500);
    assert!(minutes(&mut warnings, &longer, 2701).is_empty());
    assert_eq!(minutes(&mut warnings, &longer, 3600), [15]);
}

#[test]
fn the_next_warning_is_known_ahead() {
    let live = live(0, 3600);
    assert_eq!(Warnings::next(&live, at(0)), Some(at(2700)));
    assert_eq!(Warnings::next(&live, at(2700)), Some(at(3300)));
    assert_eq!(Warnings::next(&live, at(3599)), None);
}
