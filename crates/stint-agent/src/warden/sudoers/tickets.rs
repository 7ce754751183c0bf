//! What sudo remembers of a user: that a password was given lately. Taken away at the end of a grant, so that a standing rule that asks
//! for a password asks again.

use std::path::{Path, PathBuf};

use stint_grant::ids::UserName;

/// Where sudo keeps them.
pub(crate) const FOLDER: &str = "/run/sudo/ts";

/// Removes a user's tickets, and says which there were. sudo names them by user, and from 1.9.15 on by uid.
pub(crate) fn remove(folder: &Path, user: &UserName, uid: Option<u32>) -> Vec<PathBuf> {
    let names = [Some(user.to_string()), uid.map(|uid| uid.to_string())];
    let paths = names.into_iter().flatten().map(|name| folder.join(name));
    paths.filter(|path| std::fs::remove_file(path).is_ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_by_name_and_by_uid_go_and_those_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["alice", "1000", "bob", "1001"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let removed = remove(folder.path(), &UserName::new("alice").unwrap(), Some(1000));
        assert_eq!(removed, [folder.path().join("alice"), folder.path().join("1000")]);
        assert!(folder.path().join("bob").exists() && folder.path().join("1001").exists());
    }

    #[test]
    fn no_tickets_are_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = UserName::new("alice").unwrap();
        assert!(remove(&folder.path().join("missing"), &nobody, None).is_empty());
    }
}
