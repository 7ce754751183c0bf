//! What of a command is put on record.

use stint_log::Hash;
use stint_log::record::CommandLine;

use crate::message::{InfoMessage, InfoValue};

/// The most bytes of all arguments that a record holds. With every byte escaped a record must still fit into an entry of a public log.
const MAX_ARGUMENT_BYTES: usize = 6 * 1024;
/// The most bytes of a path.
pub(crate) const MAX_PATH_BYTES: usize = 1024;
/// The most bytes of a name.
pub(crate) const MAX_NAME_BYTES: usize = 256;
/// The most bytes of a reason.
const MAX_REASON_BYTES: usize = 1024;

/// The command that the values describe.
pub fn describe(info: &[InfoMessage]) -> CommandLine {
    let text = |key: &str, max| text_of(info, key).map(|bytes| clipped(bytes, max));
    let (argv, argv_sha256) = arguments(texts_of(info, "runargv").unwrap_or_default());
    CommandLine {
        user: text("submituser", MAX_NAME_BYTES).unwrap_or_default(),
        run_as: text("runuser", MAX_NAME_BYTES).unwrap_or_default(),
        command: text("command", MAX_PATH_BYTES).unwrap_or_default(),
        argv,
        argv_sha256,
        cwd: text("runcwd", MAX_PATH_BYTES).or_else(|| text("submitcwd", MAX_PATH_BYTES)).unwrap_or_default(),
        tty: text("ttyname", MAX_NAME_BYTES),
    }
}

/// A reason that sudo gives.
pub fn reason(bytes: &[u8]) -> String {
    clipped(bytes, MAX_REASON_BYTES)
}

/// The arguments as they are recorded, and a hash over all of them where that is not exactly what they were.
///
/// Arguments pass here and nowhere else on their way to the record: rules that hide a secret belong here.
pub(crate) fn arguments(argv: &[Vec<u8>]) -> (Vec<String>, Option<Hash>) {
    let mut left = MAX_ARGUMENT_BYTES;
    let mut shown = Vec::new();
    let mut exact = true;
    for argument in argv {
        if argument.len() >= left {
            exact = false;
            if left > 1 {
                shown.push(clipped(argument, left - 1));
            }
            break;
        }
        left -= argument.len() + 1;
        let text = String::from_utf8_lossy(argument);
        exact &= text.as_bytes() == argument.as_slice();
        shown.push(text.into_owned());
    }
    let hash = (!exact)
        .then(|| Hash::of(&argv.iter().flat_map(|a| [a.as_slice(), &[0]]).collect::<Vec<_>>().concat()));
    (shown, hash)
}

/// A text of at most so many bytes, with a mark where it was cut or is not UTF-8.
pub(crate) fn clipped(bytes: &[u8], max: usize) -> String {
    if bytes.len() <= max {
        let text = String::from_utf8_lossy(bytes);
        if text.len() <= max {
            return text.into_owned();
        }
    }
    let mut cut = String::with_capacity(max);
    for c in String::from_utf8_lossy(&bytes[..bytes.len().min(max)]).chars() {
        if cut.len() + c.len_utf8() + 3 > max {
            break;
        }
        cut.push(c);
    }
    if max >= 3 { cut + "..." } else { cut }
}

fn value<'a>(info: &'a [InfoMessage], key: &str) -> Option<&'a InfoValue> {
    info.iter().find(|message| message.key == key.as_bytes()).and_then(|message| message.value.as_ref())
}

fn text_of<'a>(info: &'a [InfoMessage], key: &str) -> Option<&'a [u8]> {
    match value(info, key)? {
        InfoValue::Text(text) => Some(text),
        _ => None,
    }
}

fn texts_of<'a>(info: &'a [InfoMessage], key: &str) -> Option<&'a [Vec<u8>]> {
    match value(info, key)? {
        InfoValue::Texts(list) => Some(&list.strings),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use stint_log::record::{Event, Header, MAX_BYTES};

    use super::*;
    use crate::message::StringList;

    pub(crate) fn text(key: &str, value: &[u8]) -> InfoMessage {
        InfoMessage { key: key.into(), value: Some(InfoValue::Text(value.to_vec())) }
    }
    pub(crate) fn texts(key: &str, values: &[&[u8]]) -> InfoMessage {
        let strings = values.iter().map(|value| value.to_vec()).collect();
        InfoMessage { key: key.into(), value: Some(InfoValue::Texts(StringList { strings })) }
    }

    #[test]
    fn a_command_is_described_with_who_what_where() {
        let info = [
            text("submituser", b"alice"),
            text("runuser", b"root"),
            text("command", b"/usr/bin/id"),
            texts("runargv", &[b"id", b"-u"]),
            text("submitcwd", b"/home/alice"),
            texts("runenv", &[b"SECRET=1"]),
        ];
        let what = describe(&info);
        assert_eq!((what.user.as_str(), what.run_as.as_str()), ("alice", "root"));
        assert_eq!((what.command.as_str(), what.cwd.as_str()), ("/usr/bin/id", "/home/alice"));
        assert_eq!((what.argv, what.argv_sha256, what.tty), (vec!["id".into(), "-u".into()], None, None));
    }

    #[test]
    fn an_argument_that_is_not_utf_8_is_recorded_with_the_hash_of_what_it_was() {
        let (argv, hash) = arguments(&[b"printf".to_vec(), vec![0xff]]);
        assert_eq!(argv, ["printf", "\u{fffd}"]);
        assert_eq!(hash, Some(Hash::of(b"printf\0\xff\0")));
    }

    #[test]
    fn long_arguments_are_cut_with_the_hash_of_all_of_them() {
        let long = vec![b'x'; 100_000];
        let (argv, hash) = arguments(&[b"echo".to_vec(), long.clone(), b"end".to_vec()]);
        assert_eq!(argv.len(), 2);
        assert!(argv[1].len() < MAX_ARGUMENT_BYTES && argv[1].ends_with("x..."));
        assert_eq!(hash, Some(Hash::of(&[b"echo\0", long.as_slice(), b"\0end\0"].concat())));
    }

    proptest! {
        #[test]
        fn whatever_was_typed_fits_into_a_record(
            argv in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..8),
            path in prop::collection::vec(0_u8..40, 0..5000),
            name in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let (argv, path, name) = (argv.iter().map(Vec::as_slice).collect::<Vec<_>>(), path.as_slice(), name.as_slice());
            let info = [
                text("submituser", name), text("runuser", name), text("ttyname", name),
                text("command", path), text("runcwd", path), texts("runargv", &argv),
            ];
            let event = Event::CommandRejected {
                run: "r".repeat(16), grant: None, session: Some("s".repeat(64)), pid: u32::MAX, sub: true,
                reason: reason(path), what: Box::new(describe(&info)),
            };
            let header = Header {
                host: "h".repeat(253), epoch: u64::MAX, seq: u64::MAX, prev: Hash::ZERO, at: i64::MAX, boot: "0".repeat(64),
            };
            prop_assert!(header.write(&event).unwrap().len() <= MAX_BYTES);
        }
    }
}
