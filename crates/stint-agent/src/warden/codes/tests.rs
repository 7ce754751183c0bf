//! What is on disk counts, whatever stops the warden in between.

use stint_grant::gate::Opening;
use stint_grant::ids::{CodeId, GrantId, UserName};
use stint_grant::time::{ClockReading, Seconds, UnixTime};

use super::*;
use crate::warden::files::faults::fail_after;

const NOW: UnixTime = UnixTime(1_000_000);
const LAST: UnixTime = UnixTime(2_000_000);

fn alice() -> UserName {
    "alice".parse().unwrap()
}
fn grant() -> GrantId {
    "aaaaaaaaaaaa".parse().unwrap()
}
fn code(id: &str) -> CodeId {
    id.parse().unwrap()
}
fn reading(boot: &str, boottime_ms: u64) -> ClockReading {
    ClockReading { wall: NOW, boottime_ms, boot_id: boot.to_owned() }
}
fn opening() -> Opening {
    Opening {
        grant: grant(),
        from: NOW,
        until: NOW.plus(Seconds(60)),
        boot_id: "b0".to_owned(),
        ends_ms: 61_000,
    }
}

#[test]
fn attempts_count_over_a_restart_and_none_is_given_back_by_one_that_never_ended() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        // Each time the warden dies before it says what came of it.
        Codes::open(dir.path()).count(&alice(), NOW).unwrap();
    }
    let refused = Codes::open(dir.path()).count(&alice(), NOW).unwrap_err();
    assert!(matches!(refused, CodeRefusal::Wait(Seconds(30))), "{refused}");
    assert!(Codes::open(dir.path()).count(&"bob".parse().unwrap(), NOW).is_ok());
}

#[test]
fn an_attempt_that_cannot_be_written_down_is_refused_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let mut codes = Codes::open(dir.path());
    for _ in 0..3 {
        fail_after(Some(0));
        let refused = codes.count(&alice(), NOW).unwrap_err();
        fail_after(None);
        assert!(matches!(refused, CodeRefusal::Unwritten(_)), "{refused}");
        assert!(refused.to_string().contains("make room"), "{refused}");
    }
    assert!(matches!(codes.count(&alice(), NOW), Err(CodeRefusal::Wait(_))));
}

#[test]
fn a_code_is_used_once_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    Codes::open(dir.path()).burn(&alice(), (&grant(), &code("AAAA")), NOW, LAST).unwrap();
    let mut codes = Codes::open(dir.path());
    let again = codes.burn(&alice(), (&grant(), &code("AAAA")), NOW.plus(Seconds(5)), LAST);
    assert!(matches!(again, Err(CodeRefusal::Used(NOW))));
    codes.burn(&alice(), (&grant(), &code("BBBB")), NOW, LAST).unwrap();
}

#[test]
fn a_code_that_cannot_be_burned_is_refused_and_stays_good() {
    let dir = tempfile::tempdir().unwrap();
    let mut codes = Codes::open(dir.path());
    for steps in 0..2 {
        fail_after(Some(steps));
        let refused = codes.burn(&alice(), (&grant(), &code("AAAA")), NOW, LAST).unwrap_err();
        fail_after(None);
        assert!(matches!(refused, CodeRefusal::Unwritten(_)), "{refused}");
        assert_eq!(codes.used_at(&grant(), &code("AAAA")), None);
    }
    codes.burn(&alice(), (&grant(), &code("AAAA")), NOW, LAST).unwrap();
}

#[test]
fn a_window_is_open_until_its_end_and_over_with_its_boot_whatever_the_wall_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    Codes::open(dir.path()).open_window(opening(), NOW, &reading("b0", 1_000)).unwrap();
    let codes = Codes::open(dir.path());
    let open = |now, boot, ms| !codes.open_at(now, &reading(boot, ms)).is_empty();
    assert!(open(NOW, "b0", 1_000) && open(NOW.plus(Seconds(59)), "b0", 60_000));
    assert!(!open(NOW.plus(Seconds(60)), "b0", 60_500));
    assert!(!open(NOW.plus(Seconds(5)), "b0", 61_000), "the wall clock was set back");
    assert!(!open(NOW.plus(Seconds(5)), "b1", 5_000), "the host was started anew");
}

#[test]
fn damaged_notes_refuse_every_code_instead_of_forgetting_which_were_used() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("codes.json"), b"{").unwrap();
    let mut codes = Codes::open(dir.path());
    assert!(matches!(codes.count(&alice(), NOW), Err(CodeRefusal::Damaged(_))));
    assert!(matches!(
        codes.burn(&alice(), (&grant(), &code("AAAA")), NOW, LAST),
        Err(CodeRefusal::Damaged(_))
    ));
}
