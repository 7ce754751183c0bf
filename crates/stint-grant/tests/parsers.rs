//! The checks of the fuzz targets, run as a plain test: over the seeds, over seeds with changes, and over arbitrary bytes.

#![allow(missing_docs, unreachable_pub, clippy::pedantic)]

#[path = "../../../tests/fuzz/src/grant.rs"]
mod checks;
#[path = "../../../tests/fuzz/src/mutate.rs"]
mod mutate;

use proptest::prelude::*;

type Target = (&'static str, fn(&[u8]));

const TARGETS: &[Target] = &[
    ("envelope", checks::envelope),
    ("head", checks::head),
    ("root_rotate", checks::root_rotate),
    ("roster", checks::roster),
    ("shard", checks::shard),
    ("pulse", checks::pulse),
    ("terms", checks::terms),
    ("review", checks::review),
    ("current", checks::current),
    ("account", checks::account),
    ("host_config", checks::host_config),
    ("register", checks::register),
];

#[test]
fn each_target_has_a_seed_and_holds_for_it() {
    let seeds = checks::seeds();
    for (name, check) in TARGETS {
        let mut found = false;
        for (_, seed) in seeds.iter().filter(|(target, _)| target == name) {
            check(seed);
            found = true;
        }
        assert!(found, "{name} has no seed");
    }
    assert!(seeds.iter().all(|(target, _)| TARGETS.iter().any(|(name, _)| name == target)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_target_holds_for_changed_seeds(changes in mutate::changes()) {
        for (name, seed) in checks::seeds() {
            let (_, check) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
            check(&mutate::apply(&changes, seed));
        }
    }

    #[test]
    fn each_target_holds_for_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for (_, check) in TARGETS {
            check(&bytes);
        }
    }
}
