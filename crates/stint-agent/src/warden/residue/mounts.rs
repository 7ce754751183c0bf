//! What is mounted where, as the kernel lists it (proc_pid_mountinfo(5)).

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Between the fields of the place and those of the file system.
const LONE_DASH: &[u8] = b" - ";

/// Each place with the kind of its file system, in the order in which they were mounted: fields 5 and, after a lone dash, 1 of each line.
/// A place has any bytes: a user who may mount (FUSE) chooses its name.
pub(crate) fn mounts(text: &[u8]) -> impl Iterator<Item = (PathBuf, String)> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let dash = line.windows(LONE_DASH.len()).position(|bytes| bytes == LONE_DASH)?;
        let field = |bytes: &'_ [u8], n| bytes.split(|byte| *byte == b' ').nth(n).map(<[u8]>::to_vec);
        let (at, kind) = (field(&line[..dash], 4)?, field(&line[dash + LONE_DASH.len()..], 0)?);
        Some((unescape(&at), String::from_utf8_lossy(&kind).into_owned()))
    })
}

/// The places alone, each once.
pub(crate) fn mount_points(text: &[u8]) -> impl Iterator<Item = PathBuf> {
    let places: std::collections::BTreeSet<PathBuf> = mounts(text).map(|(place, _)| place).collect();
    places.into_iter()
}

/// The kernel writes spaces and the like as three octal digits.
fn unescape(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text;
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
        let text = b"22 1 0:21 / / rw,relatime shared:1 - overlay overlay rw\n\
            23 22 0:22 / /mnt/a\\040b rw - nfs4 server:/ rw\nnonsense\n\
            24 22 0:23 / /home/alice/\xff rw - fuse.x x rw\n";
        let found: BTreeMap<_, _> = mounts(text).collect();
        assert_eq!(found[Path::new("/")], "overlay");
        assert_eq!(found[Path::new("/mnt/a b")], "nfs4");
        assert_eq!(found[Path::new(std::ffi::OsStr::from_bytes(b"/home/alice/\xff"))], "fuse.x");
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_place_on_which_two_lie_is_named_once() {
        let text = b"22 1 0:21 / /a rw - tmpfs tmpfs rw\n23 22 0:22 / /a rw - tmpfs tmpfs rw\n";
        assert_eq!(mount_points(text).collect::<Vec<_>>(), [Path::new("/a")]);
    }
}
