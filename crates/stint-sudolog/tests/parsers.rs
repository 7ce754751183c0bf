//! The checks of the fuzz targets, run as a plain test: over the seeds, over seeds with changes, and over arbitrary bytes.

#![allow(missing_docs, unreachable_pub, clippy::pedantic)]

#[path = "../../../tests/fuzz/src/sudolog.rs"]
mod checks;
#[path = "../../../tests/fuzz/src/mutate.rs"]
mod mutate;

use proptest::prelude::*;

fn check(target: &str, bytes: &[u8]) {
    match target {
        "conversation" => checks::conversation(bytes),
        "recording" => checks::recording(bytes),
        "journal" => checks::journal(bytes),
        other => panic!("no target is called {other}"),
    }
}

#[test]
fn each_seed_holds() {
    checks::seeds().iter().for_each(|(target, seed)| check(target, seed));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_target_holds_for_changed_seeds(changes in mutate::changes()) {
        for (target, seed) in checks::seeds() {
            check(target, &mutate::apply(&changes, seed));
        }
    }

    #[test]
    fn each_target_holds_for_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check("conversation", &bytes);
        let recording = [stint_sudolog::recording::MAGIC, &bytes].concat();
        check("recording", &recording);
        check("journal", &bytes);
    }
}
