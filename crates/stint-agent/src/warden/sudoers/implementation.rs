//! Which sudo this host has.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::warden::run::{self, RunError, Said};
use crate::warden::sudo_log::hears_syslog;
use stint_grant::record::{CommandRecord, RecordLevel};

use super::render::Dialect;

/// sudo, as it names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Implementation {
    /// The original, with its version.
    Sudo(Version),
    /// The one in Rust, with its version.
    SudoRs(Version),
}

/// A version of the original: major, minor, release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32, pub(super) u32);

/// `cvtsudoers -f json`, NOTAFTER and `timestamp_type` are all there.
const OLDEST: Version = Version(1, 8, 23);
/// `visudo` knows -O and -P: it checks owner and mode.
const CHECKS_OWNER: Version = Version(1, 9, 9);

/// sudo tells a log server of commands and of their output.
const HAS_LOG_SERVERS: Version = Version(1, 9, 0);
/// It tells of the commands that a command starts.
const TELLS_SUBCOMMANDS: Version = Version(1, 9, 8);
/// It can hide passwords from what is recorded as typed.
const HIDES_PASSWORDS: Version = Version(1, 9, 10);

/// From here on sudo-rs asks PAM's account phase for everything that it does, and has NOEXEC.
const OLDEST_RS: Version = Version(0, 2, 14);

/// No program may take longer. It looks users up, and a directory server that is gone can hang it.
const BOUND: Duration = Duration::from_secs(3);

/// The programs that are needed, by their absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tools {
    /// Those of the original.
    Sudo {
        /// `cvtsudoers`.
        cvtsudoers: PathBuf,
        /// `visudo`.
        visudo: PathBuf,
        /// Whether visudo checks owner and mode.
        checks_owner: bool,
        /// sudo's version.
        version: Version,
    },
    /// Those of sudo-rs.
    SudoRs {
        /// `visudo`.
        visudo: PathBuf,
        /// Whether what it writes of commands comes to systemd's journal.
        is_heard: bool,
    },
}

impl Tools {
    /// In which words they are spoken to.
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sudo { .. } => Dialect::Sudo,
            Self::SudoRs { .. } => Dialect::SudoRs,
        }
    }

    /// Whether this sudo can record what is asked for. A grant that asks for more than it can is refused, not run without a record.
    pub(super) fn can_record(&self, record: CommandRecord) -> Result<(), Unsupported> {
        match self {
            Self::Sudo { version, .. } => sudo_can_record(*version, record),
            Self::SudoRs { is_heard, .. } => sudo_rs_can_record(record, *is_heard),
        }
    }
}

fn sudo_can_record(found: Version, record: CommandRecord) -> Result<(), Unsupported> {
    let needs = [
        (record.level > RecordLevel::None, HAS_LOG_SERVERS, "a record of commands"),
        (record.subcommands, TELLS_SUBCOMMANDS, "a record of subcommands"),
        (record.input, HIDES_PASSWORDS, "a record of input without passwords"),
    ];
    let short = needs.into_iter().find(|(asked, needed, _)| *asked && found < *needed);
    short.map_or(Ok(()), |(_, needed, what)| Err(Unsupported::CannotRecord { what, found, needed }))
}

/// sudo-rs knows no log server: it names commands in the host's log, and that they run does not depend on it. So a record of them can be
/// had where that log is systemd's journal, and nothing more.
fn sudo_rs_can_record(record: CommandRecord, is_heard: bool) -> Result<(), Unsupported> {
    let unheard = record.level > RecordLevel::None && !is_heard;
    let cannot = [
        (unheard, "a record of commands, since its log does not come to systemd's journal here"),
        (record.level == RecordLevel::Io, "a record of output"),
        (record.input, "a record of input"),
        (record.subcommands, "a record of subcommands"),
        (record.fail_closed, "a record without which no command runs"),
    ];
    let asked = cannot.into_iter().find(|(asked, _)| *asked);
    asked.map_or(Ok(()), |(_, what)| Err(Unsupported::SudoRsCannotRecord { what }))
}

/// The program itself, so that another one in its place is noticed: device, inode, size, change.
pub(super) type Stamp = (u64, u64, u64, i64, i64);

/// This host's sudo.
pub(crate) fn program() -> Option<PathBuf> {
    find("sudo").ok()
}

/// The stamp of this host's sudo.
pub(super) fn stamp() -> Option<Stamp> {
    let found = std::fs::metadata(find("sudo").ok()?).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

/// Why no drop-in can be made for this host's sudo.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsupported {
    /// A program is missing.
    #[error("{0} is not installed: install sudo, or remove sudo rules from this host's entitlements")]
    Missing(&'static str),
    /// It could not be started.
    #[error("{program} could not be run: {cause}")]
    NotRun {
        /// The program.
        program: PathBuf,
        /// Why.
        cause: String,
    },
    /// It did not end: the warden does not wait for it, since nothing else is enforced meanwhile.
    #[error("{program} did not answer within {} s: do the host's user lookups hang?", BOUND.as_secs())]
    Silent {
        /// The program.
        program: PathBuf,
    },
    /// It does not say what it is.
    #[error("sudo does not say its version: {0:?}")]
    Unknown(String),
    /// It cannot record what the grant asks for.
    #[error(
        "sudo {}.{}.{} cannot give {what}: {}.{}.{} or later is needed, or an entitlement that records less",
        found.0, found.1, found.2, needed.0, needed.1, needed.2
    )]
    CannotRecord {
        /// What was asked for.
        what: &'static str,
        /// What was found.
        found: Version,
        /// What is needed.
        needed: Version,
    },
    /// It tells nobody of commands.
    #[error("sudo-rs cannot give {what}: the original sudo is needed, or an entitlement that records less")]
    SudoRsCannotRecord {
        /// What was asked for.
        what: &'static str,
    },
    /// It lets some of its own calls pass PAM, which alone ends its rules while the warden is away.
    #[error("sudo-rs {}.{}.{} is too old: {}.{}.{} or later is needed", found.0, found.1, found.2, OLDEST_RS.0, OLDEST_RS.1, OLDEST_RS.2)]
    SudoRsTooOld {
        /// What was found.
        found: Version,
    },
    /// It lacks what is needed.
    #[error("sudo {}.{}.{} is too old: {}.{}.{} or later is needed", found.0, found.1, found.2, OLDEST.0, OLDEST.1, OLDEST.2)]
    TooOld {
        /// What was found.
        found: Version,
    },
}

/// Finds the tools of this host's sudo, if it can be used.
pub(super) fn detect() -> Result<Tools, Unsupported> {
    let sudo = find("sudo")?;
    let said = run(&sudo, &["-V"], None)?;
    let said = format!("{}{}", said.out, said.err);
    match parse(&said).ok_or_else(|| Unsupported::Unknown(said.lines().next().unwrap_or("").to_owned()))? {
        Implementation::SudoRs(found) if found < OLDEST_RS => Err(Unsupported::SudoRsTooOld { found }),
        Implementation::SudoRs(_) => {
            Ok(Tools::SudoRs { visudo: find("visudo")?, is_heard: hears_syslog(Path::new("/")) })
        }
        Implementation::Sudo(found) if found < OLDEST => Err(Unsupported::TooOld { found }),
        Implementation::Sudo(version) => Ok(Tools::Sudo {
            cvtsudoers: find("cvtsudoers")?,
            visudo: find("visudo")?,
            checks_owner: version >= CHECKS_OWNER,
            version,
        }),
    }
}

fn find(name: &'static str) -> Result<PathBuf, Unsupported> {
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    let paths = folders.iter().map(|folder| Path::new(folder).join(name));
    paths.into_iter().find(|path| path.is_file()).ok_or(Unsupported::Missing(name))
}

/// Reads the answer to `sudo -V`.
fn parse(said: &str) -> Option<Implementation> {
    let first = said.lines().next()?.trim();
    if let Some(text) = first.strip_prefix("sudo-rs ") {
        return Some(Implementation::SudoRs(version(text)?));
    }
    Some(Implementation::Sudo(version(first.strip_prefix("Sudo version ")?)?))
}

fn version(text: &str) -> Option<Version> {
    let number = |part: &str| {
        let digits = part.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u32>().ok()
    };
    let mut parts = text.split('.').map(number);
    let mut next = || parts.next().flatten();
    Some(Version(next()?, next()?, next().unwrap_or(0)))
}

/// Runs one of sudo's tools, with nothing of our environment, and kills it if it does not end.
pub(super) fn run(program: &Path, arguments: &[&str], file: Option<&Path>) -> Result<Said, Unsupported> {
    run_within(BOUND, program, arguments, file)
}

fn run_within(
    bound: Duration,
    program: &Path,
    arguments: &[&str],
    file: Option<&Path>,
) -> Result<Said, Unsupported> {
    let program_of = || program.to_owned();
    run::within(bound, program, arguments, file).map_err(|error| match error {
        RunError::NotRun(cause) => Unsupported::NotRun { program: program_of(), cause },
        RunError::Silent(_) => Unsupported::Silent { program: program_of() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_original_names_its_version_with_or_without_a_patch() {
        let patched = parse("Sudo version 1.9.13p3\nConfigure options: --x\n");
        assert_eq!(patched, Some(Implementation::Sudo(Version(1, 9, 13))));
        assert_eq!(parse("Sudo version 1.8.31\n"), Some(Implementation::Sudo(Version(1, 8, 31))));
        assert_eq!(parse("Sudo version 1.9.17b2"), Some(Implementation::Sudo(Version(1, 9, 17))));
    }

    #[test]
    fn sudo_rs_is_told_apart() {
        assert_eq!(parse("sudo-rs 0.2.8\n"), Some(Implementation::SudoRs(Version(0, 2, 8))));
    }

    #[test]
    fn what_does_not_say_its_version_is_unknown() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("doas 6.8"), None);
        assert_eq!(parse("Sudo version x.y"), None);
    }

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(Version(1, 9, 9) < Version(1, 9, 13));
        assert!(Version(1, 8, 31) < Version(1, 9, 0));
    }

    #[test]
    fn an_old_sudo_is_asked_for_no_record_that_it_cannot_give() {
        let of = |version| Tools::Sudo {
            cvtsudoers: PathBuf::new(),
            visudo: PathBuf::new(),
            checks_owner: true,
            version,
        };
        let commands = CommandRecord::COMMANDS;
        let subcommands = CommandRecord { subcommands: true, ..commands };
        assert_eq!(of(Version(1, 8, 31)).can_record(CommandRecord::NONE), Ok(()));
        let refused = of(Version(1, 8, 31)).can_record(commands).unwrap_err().to_string();
        assert!(
            refused.starts_with("sudo 1.8.31 cannot give a record of commands: 1.9.0 or later"),
            "{refused}"
        );
        assert_eq!(of(Version(1, 9, 5)).can_record(commands), Ok(()));
        assert!(of(Version(1, 9, 5)).can_record(subcommands).is_err());
        assert_eq!(of(Version(1, 9, 8)).can_record(subcommands), Ok(()));
    }

    #[test]
    fn sudo_rs_is_asked_for_no_record_that_a_grant_depends_on() {
        let tools = Tools::SudoRs { visudo: PathBuf::new(), is_heard: true };
        let commands = CommandRecord::COMMANDS;
        assert_eq!(tools.can_record(CommandRecord::NONE), Ok(()));
        assert_eq!(tools.can_record(commands), Ok(()));
        let io = CommandRecord { level: RecordLevel::Io, fail_closed: true, ..commands };
        for (record, what) in [
            (CommandRecord { fail_closed: true, ..commands }, "a record without which no command runs"),
            (CommandRecord { subcommands: true, ..commands }, "a record of subcommands"),
            (io, "a record of output"),
        ] {
            assert_eq!(tools.can_record(record), Err(Unsupported::SudoRsCannotRecord { what }));
        }
        let unheard = Tools::SudoRs { visudo: PathBuf::new(), is_heard: false };
        assert_eq!(unheard.can_record(CommandRecord::NONE), Ok(()));
        assert!(unheard.can_record(commands).unwrap_err().to_string().contains("systemd's journal"));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_and_not_waited_for() {
        let sleep = Path::new("/bin/sleep");
        let silent = Unsupported::Silent { program: sleep.to_owned() };
        assert_eq!(run_within(Duration::from_millis(50), sleep, &["infinity"], None).err(), Some(silent));
    }

    #[test]
    fn what_a_program_says_is_heard_whole() {
        let said = run(Path::new("/usr/bin/seq"), &["100000"], None).unwrap();
        assert!(said.ok && said.out.ends_with("\n100000\n") && said.err.is_empty());
    }
}
