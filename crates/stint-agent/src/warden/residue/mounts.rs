//! What is mounted where, as the kernel lists it (proc_pid_mountinfo(5)).

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Each place with the kind of its file system, in the order in which they were mounted: fields 5 and, after a lone dash, 1 of each line.
pub(crate) fn mounts(text: &str) -> impl Iterator<Item = (PathBuf, String)> {
    text.lines().filter_map(|line| {
        let (first, second) = line.split_once(" - ")?;
        let at = first.split(' ').nth(4)?;
        Some((unescape(at), second.split(' ').next()?.to_owned()))
    })
}

/// The places alone, each once.
pub(crate) fn mount_points(text: &str) -> impl Iterator<Item = PathBuf> {
    let places: std::collections::BTreeSet<PathBuf> = mounts(text).map(|(place, _)| place).collect();
    places.into_iter()
}

/// The kernel writes spaces and the like as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = octal.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    #[test]
    fn mounts_are_read_with_their_kinds_and_odd_names() {
        let text = "22 1 0:21 / / rw,relatime shared:1 - overlay overlay rw\n\
            23 22 0:22 / /mnt/a\\040b rw - nfs4 server:/ rw\nnonsense\n";
        let found: BTreeMap<_, _> = mounts(text).collect();
        assert_eq!(found[Path::new("/")], "overlay");
        assert_eq!(found[Path::new("/mnt/a b")], "nfs4");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_place_on_which_two_lie_is_named_once() {
        let text = "22 1 0:21 / /a rw - tmpfs tmpfs rw\n23 22 0:22 / /a rw - tmpfs tmpfs rw\n";
        assert_eq!(mount_points(text).collect::<Vec<_>>(), [Path::new("/a")]);
    }
}
