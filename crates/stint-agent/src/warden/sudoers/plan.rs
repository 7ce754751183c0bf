//! What must change in the folder: a pure function of what should stand there and what does.

use std::collections::BTreeMap;

use super::render::{grant_of, is_temporary};

/// A file of the folder whose name is one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its name.
    pub(super) name: String,
    /// Its text, if it is a regular file of root with mode 0440; else it must be made anew.
    pub(super) sound: Option<String>,
    /// Whether it can be unlinked: everything but a folder.
    pub(super) removable: bool,
}

/// One change, in the order in which it is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Remove what no live grant wants.
    Remove {
        /// The file's name.
        name: String,
    },
    /// Say that a folder stands where a drop-in of ours would: sudo ignores it.
    Obstacle {
        /// Its name.
        name: String,
    },
    /// Put a drop-in into place.
    Write {
        /// The file's name.
        name: String,
        /// Why.
        why: Why,
    },
}

/// Why a drop-in is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// There was none.
    New,
    /// The end of the window moved, and nothing else changed.
    Moved,
    /// Somebody changed it: the text, the owner or the mode.
    Tampered,
}

/// Whether a name is one that this module answers for. All others in the folder are not touched.
pub(crate) fn is_ours(name: &str) -> bool {
    grant_of(name).is_some() || is_temporary(name)
}

/// Compares what should stand in the folder (names and texts) with what does.
pub(super) fn plan(desired: &BTreeMap<String, String>, found: &[Found]) -> Vec<Step> {
    let mut removals = Vec::new();
    let mut writes = Vec::new();
    for file in found {
        if !file.removable {
            removals.push(Step::Obstacle { name: file.name.clone() });
        } else if !desired.contains_key(&file.name) {
            removals.push(Step::Remove { name: file.name.clone() });
        }
    }
    for (name, text) in desired {
        let why = match found.iter().find(|file| file.name == *name) {
            None => Why::New,
            Some(file) if !file.removable => continue,
            Some(file) => match &file.sound {
                Some(standing) if standing == text => continue,
                Some(standing) if without_ends(standing) == without_ends(text) => Why::Moved,
                _ => Why::Tampered,
            },
        };
        writes.push(Step::Write { name: name.clone(), why });
    }
    removals.extend(writes);
    removals
}

/// A drop-in's text with the ends blanked: what is left does not change in the life of a grant.
fn without_ends(text: &str) -> String {
    const MARK: &str = " NOTAFTER=";
    let blank = |line: &str| match line.split_once(MARK) {
        // Only where the tag belongs, and only a stamp: arguments may hold anything.
        Some((head, tail)) if tail.get(..15).is_some_and(is_stamp) => format!("{head}{MARK}{}", &tail[15..]),
        _ => line.to_owned(),
    };
    text.split('\n').map(blank).collect::<Vec<_>>().join("\n")
}

fn is_stamp(text: &str) -> bool {
    let (digits, zone) = text.split_at(14);
    digits.bytes().all(|b| b.is_ascii_digit()) && zone == "Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: &str = "zz-stint-aaaabbbbcccc";
    const OTHER: &str = "zz-stint-ddddeeeeffff";

    fn sound(name: &str, text: &str) -> Found {
        Found { name: name.to_owned(), sound: Some(text.to_owned()), removable: true }
    }
    fn desired(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }
    fn line(end: &str, command: &str) -> String {
        format!("alice ALL = (root) NOTAFTER={end} NOPASSWD: NOSETENV: {command}\n")
    }

    #[test]
    fn a_folder_that_is_as_it_should_be_needs_no_step() {
        assert_eq!(plan(&desired(&[(GRANT, "x")]), &[sound(GRANT, "x")]), []);
    }

    #[test]
    fn files_of_ended_grants_go_before_new_ones_come() {
        let steps = plan(&desired(&[(GRANT, "x")]), &[sound(OTHER, "y")]);
        let expected =
            [Step::Remove { name: OTHER.into() }, Step::Write { name: GRANT.into(), why: Why::New }];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_temporary_file_that_a_crash_left_is_removed() {
        let left = format!(".{GRANT}");
        let steps = plan(&desired(&[(GRANT, "x")]), &[sound(&left, "x"), sound(GRANT, "x")]);
        assert_eq!(steps, [Step::Remove { name: left }]);
    }

    #[test]
    fn a_moved_end_is_no_tampering() {
        let (before, after) = (line("20261123125959Z", "/bin/id"), line("20261123135959Z", "/bin/id"));
        let steps = plan(&desired(&[(GRANT, &after)]), &[sound(GRANT, &before)]);
        assert_eq!(steps, [Step::Write { name: GRANT.into(), why: Why::Moved }]);
    }

    #[test]
    fn a_changed_command_is_tampering_even_if_the_end_moved_too() {
        let (before, after) = (line("20261123125959Z", "ALL"), line("20261123135959Z", "/bin/id"));
        let steps = plan(&desired(&[(GRANT, &after)]), &[sound(GRANT, &before)]);
        assert_eq!(steps, [Step::Write { name: GRANT.into(), why: Why::Tampered }]);
    }

    #[test]
    fn a_line_added_is_tampering() {
        let text = line("20261123125959Z", "/bin/id");
        let more = format!("{text}{}", line("20261123125959Z", "ALL"));
        let steps = plan(&desired(&[(GRANT, &text)]), &[sound(GRANT, &more)]);
        assert_eq!(steps, [Step::Write { name: GRANT.into(), why: Why::Tampered }]);
    }

    #[test]
    fn a_file_with_another_owner_or_mode_or_a_symlink_is_made_anew() {
        let unsound = Found { name: GRANT.into(), sound: None, removable: true };
        let steps = plan(&desired(&[(GRANT, "x")]), &[unsound]);
        assert_eq!(steps, [Step::Write { name: GRANT.into(), why: Why::Tampered }]);
    }

    #[test]
    fn a_folder_in_the_way_is_told_and_left() {
        let folder = Found { name: GRANT.into(), sound: None, removable: false };
        let steps = plan(&desired(&[(GRANT, "x")]), &[folder]);
        assert_eq!(steps, [Step::Obstacle { name: GRANT.into() }]);
    }

    #[test]
    fn names_of_others_are_not_ours() {
        for name in ["README", "90-cloud-init-users", "zz-stint-", "zz-stint-AAAABBBBCCCC", "zz-stint-a.b"] {
            assert!(!is_ours(name), "{name}");
        }
        assert!(is_ours(GRANT) && is_ours(&format!(".{GRANT}")));
    }
}
