//! Roles.

use crate::error::{Outcome, Problem};

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Makes requests.
    Requester,
    /// Reviews the requests of others.
    Reviewer,
    /// Locks and revokes.
    Security,
    /// Manages users, hosts, roster and root.
    Administrator,
    /// Reads the record.
    Auditor,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] =
        [Self::Requester, Self::Reviewer, Self::Security, Self::Administrator, Self::Auditor];

    /// The role's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Requester => "requester",
            Self::Reviewer => "reviewer",
            Self::Security => "security",
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
        }
    }
    /// The role of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.word() == word)
    }
}

/// Roles from their words, sorted, each once.
pub fn roles_from(words: &[String]) -> Outcome<Vec<Role>> {
    let mut roles = words
        .iter()
        .map(|w| {
            Role::from_word(w).ok_or_else(|| {
                let all = Role::ALL.map(Role::word).join(", ");
                Problem::bad_input(format!("{w:?} is not a role"), format!("use some of: {all}"))
            })
        })
        .collect::<Outcome<Vec<_>>>()?;
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() {
        return Err(Problem::bad_input(
            "a user needs at least one role",
            "give for instance the role requester",
        ));
    }
    Ok(roles)
}
