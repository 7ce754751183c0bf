//! Ids as people type them: any beginning that only one of the listed things has.

use crate::exit::{Exit, Failure, Outcome};

/// The length of an id as it is made: no longer one need be looked for.
const WHOLE: usize = 12;

/// What was typed, as ids are written; refused if no id can begin like this.
pub(crate) fn normal(typed: &str, what: &str) -> Outcome<String> {
    let id = typed.trim().to_ascii_lowercase();
    let plain = id.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
    if id.is_empty() || id.len() > 26 || !plain {
        return Err(Failure::usage(format!(
            "{typed:?} is not the id of a {what}: ids are made of a-z and 2-7"
        )));
    }
    Ok(id)
}

/// Whether an id was typed whole.
pub(crate) fn is_whole(id: &str) -> bool {
    id.len() >= WHOLE
}

/// The one id that begins with `prefix`; none, if none does.
pub(crate) fn unique<'a>(
    prefix: &str,
    ids: impl IntoIterator<Item = &'a str>,
    what: &str,
) -> Outcome<Option<String>> {
    let mut found: Vec<&str> = ids.into_iter().filter(|id| id.starts_with(prefix)).collect();
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.to_owned())),
        _ if found.contains(&prefix) => Ok(Some(prefix.to_owned())),
        _ => Err(Failure::usage(format!(
            "{prefix} begins the id of more than one {what}: {}",
            found.join(", ")
        ))
        .next("type more of it")),
    }
}

/// There is nothing with this id.
pub(crate) fn missing(id: &str, what: &str) -> Failure {
    Failure::new(Exit::NotFound, format!("there is no {what} {id} that you may see"))
        .next(format!("list them: stint {what} ls --all"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 3] = ["abcd22222222", "abce33333333", "zzzz44444444"];

    #[test]
    fn a_unique_beginning_is_enough() {
        assert_eq!(unique("z", IDS, "grant").unwrap().as_deref(), Some("zzzz44444444"));
        assert_eq!(unique("abce", IDS, "grant").unwrap().as_deref(), Some("abce33333333"));
    }

    #[test]
    fn a_beginning_of_several_names_them() {
        let failure = unique("abc", IDS, "grant").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(failure.message, "abc begins the id of more than one grant: abcd22222222, abce33333333");
    }

    #[test]
    fn an_id_that_begins_another_is_still_itself() {
        assert_eq!(unique("abcd", ["abcd", "abcde"], "lock").unwrap().as_deref(), Some("abcd"));
    }

    #[test]
    fn nothing_begins_like_this() {
        assert_eq!(unique("q", IDS, "grant").unwrap(), None);
    }

    #[test]
    fn ids_may_be_typed_in_capitals() {
        assert_eq!(normal("7F3A", "request").unwrap(), "7f3a");
    }

    #[test]
    fn what_cannot_be_an_id_is_a_usage_error() {
        for typed in ["", "../x", "a b", "id-1", "abc1", "a?b"] {
            assert_eq!(normal(typed, "request").unwrap_err().exit, Exit::Usage, "{typed}");
        }
    }
}
