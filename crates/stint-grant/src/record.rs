//! What is recorded of the commands that a grant allows. It stands in the terms, so reviewers sign it, and a host may demand the least.

use serde::Serialize;

use crate::strict::{self, document};

document! {
    /// What is recorded of each command that is run through sudo.
    pub struct CommandRecord {
        /// How much.
        pub level: RecordLevel,
        /// With [`RecordLevel::Io`]: what is typed as well. It may hold passwords, so it is asked for by itself.
        pub input: bool,
        /// The programs that a command starts as well, as far as sudo sees them.
        pub subcommands: bool,
        /// Whether a command is refused when it cannot be recorded.
        pub fail_closed: bool,
    }
}

/// How much of a command is recorded. Each level holds those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordLevel {
    /// Only that sudo was used.
    #[default]
    None,
    /// The command with its arguments, what was refused, and its end.
    Commands,
    /// What it wrote too, so that it can be played back.
    Io,
}
strict::word!(RecordLevel { None = "none", Commands = "commands", Io = "io" });

/// What is asked for does not hold together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No record, and yet something of it.
    #[error("record level none goes with neither input, subcommands nor fail_closed")]
    NothingToRecord,
    /// Output that may be lost: sudo ends a command whose output it cannot record, unless it is told for all of the user's commands not to.
    #[error("record level io goes with fail_closed only")]
    IoOpen,
    /// Input without output.
    #[error("record input needs level io")]
    InputAlone,
}

impl Copy for CommandRecord {}

impl CommandRecord {
    /// Nothing is recorded but that sudo was used.
    pub const NONE: Self =
        Self { level: RecordLevel::None, input: false, subcommands: false, fail_closed: false };
    /// Each command.
    pub const COMMANDS: Self =
        Self { level: RecordLevel::Commands, input: false, subcommands: false, fail_closed: false };

    /// Checks that it holds together.
    pub fn check(&self) -> Result<(), RecordError> {
        let more = self.input || self.subcommands || self.fail_closed;
        match self.level {
            RecordLevel::None if more => Err(RecordError::NothingToRecord),
            RecordLevel::Io if !self.fail_closed => Err(RecordError::IoOpen),
            RecordLevel::Commands if self.input => Err(RecordError::InputAlone),
            _ => Ok(()),
        }
    }
    /// Whether everything that the other asks for is asked for here.
    pub fn includes(&self, other: &Self) -> bool {
        self.level >= other.level
            && self.input >= other.input
            && self.subcommands >= other.subcommands
            && self.fail_closed >= other.fail_closed
    }
}

impl RecordLevel {
    /// The word for it, as it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Commands => "commands",
            Self::Io => "io",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(level: RecordLevel, [input, subcommands, fail_closed]: [bool; 3]) -> CommandRecord {
        CommandRecord { level, input, subcommands, fail_closed }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        use RecordLevel::{Commands, Io, None};
        for (level, flags, holds) in [
            (None, [false; 3], true),
            (None, [false, false, true], false),
            (None, [false, true, false], false),
            (None, [true, false, false], false),
            (Commands, [false, true, true], true),
            (Commands, [true, false, false], false),
            (Io, [true, true, false], false),
            (Io, [true; 3], true),
        ] {
            assert_eq!(record(level, flags).check().is_ok(), holds, "{level:?} {flags:?}");
        }
    }

    #[test]
    fn less_in_any_part_does_not_include_more() {
        let all = record(RecordLevel::Io, [true; 3]);
        assert!(all.includes(&all) && all.includes(&CommandRecord::NONE));
        assert!(!record(RecordLevel::Commands, [true; 3]).includes(&all));
        for less in 0..3 {
            let mut flags = [true; 3];
            flags[less] = false;
            assert!(!record(RecordLevel::Io, flags).includes(&all));
        }
    }

    #[test]
    fn it_is_read_strictly() {
        let whole = r#"{"level":"io","input":false,"subcommands":true,"fail_closed":true}"#;
        assert_eq!(
            serde_json::from_str::<CommandRecord>(whole).unwrap(),
            record(RecordLevel::Io, [false, true, true])
        );
        for bad in [
            r#"{"level":"io","input":false,"subcommands":true}"#,
            r#"{"level":"all","input":false,"subcommands":true,"fail_closed":true}"#,
            r#"{"level":"io","input":0,"subcommands":true,"fail_closed":true}"#,
            r#"["io",false,true,true]"#,
        ] {
            assert!(serde_json::from_str::<CommandRecord>(bad).is_err(), "{bad}");
        }
    }
}
