//! The battery: every known way to keep access, or a process, past the end of a grant, tried on booted hosts through real ssh.
//!
//! A [`Case`] is data: what somebody does inside the window, how one sees that it took, and what must hold after the end.
//! A [`Round`] is one window in which many cases are tried; a [`Family`] is a list of rounds. [`run()`] tries them, and
//! [`Report`] is the table of what really held.

mod access_paths;
mod case;
mod limited_sudo;
mod processes;
mod record;
mod report;
mod root_paths;
mod root_processes;
mod round;
mod run;
mod scan;
mod schedulers;
mod standing;
mod table;
mod tampering;

pub use case::{Act, Answer, Case, Claim, Expected, Proof, Takes};
pub use report::{Found, Report, Row, Verdict};
pub use round::{End, Family, Round};
pub use run::run;
pub use table::{markdown, text};

/// All of it, in the order of the table.
pub const FAMILIES: &[Family] = &[
    processes::FAMILY,
    schedulers::FAMILY,
    access_paths::FAMILY,
    limited_sudo::FAMILY,
    root_paths::FAMILY,
    standing::FAMILY,
    tampering::FAMILY,
    tampering::SILENCE,
];

/// The family of this name.
pub fn family(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Act, Case, Expected, FAMILIES, Takes};

    fn cases() -> impl Iterator<Item = &'static Case> {
        FAMILIES.iter().flat_map(|family| family.rounds).flat_map(|round| round.cases)
    }

    #[test]
    fn every_number_of_the_notes_has_a_case() {
        let numbers: BTreeSet<u32> = cases().filter_map(|case| case.number.parse().ok()).collect();
        let missing: Vec<u32> = (1..=62).filter(|number| !numbers.contains(number)).collect();
        assert!(missing.is_empty(), "no case for {missing:?}");
    }

    #[test]
    fn a_case_that_is_tried_has_a_claim_and_one_that_is_not_says_why() {
        for case in cases() {
            assert!(!case.claims.is_empty(), "{}: nothing is claimed", case.number);
            let tried = case.claims.iter().any(|claim| !matches!(claim.expected, Expected::Cannot(_)));
            assert_eq!(tried, !matches!(case.act, Act::None), "{}: {}", case.number, case.name);
            assert_eq!(
                tried,
                !matches!(case.takes, Takes::None),
                "{}: nobody looks whether it took",
                case.number
            );
        }
    }

    #[test]
    fn the_published_table_is_that_of_the_cases() {
        let page = include_str!("../../../../docs/battery.md");
        let (_, rest) =
            page.split_once("<!-- table -->\n").expect("docs/battery.md has the mark <!-- table -->");
        let (table, _) = rest.split_once("<!-- end -->").expect("docs/battery.md has the mark <!-- end -->");
        let now = super::markdown();
        assert!(table == now, "docs/battery.md is behind: `cargo xtask battery --table` prints the table");
    }
}
