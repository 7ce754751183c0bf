//! `stintd session ls|show|play`: what commands printed, read on the host by its root.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;

use stint_grant::words::printable;
use stint_log::Hash;
use stint_log::record::CommandLine;
use stint_sudolog::recording::{self, Recording};
use stint_sudolog::replay::{self, Look};

use super::failure::{Exit, Failure};
use crate::warden::files;
use crate::warden::paths::Paths;
use crate::warden::sudo_log::recordings::{CLOSED, HELD, SUFFIX, runs_in};

/// More than a recording can have.
const MAX_BYTES: usize = 128 * 1024 * 1024;

/// Lists all recordings.
pub(crate) fn ls() -> Result<(), Failure> {
    let folder = folder()?;
    let mut runs: Vec<_> = places(&folder).iter().flat_map(|place| runs_in(place)).collect();
    runs.sort();
    for run in runs {
        // One that is damaged keeps no other out of the list.
        match load(&folder, &run) {
            Ok((bytes, it)) => println!("{run}  {:>9}  {}", bytes.len(), in_words(&it)),
            Err(failure) => println!("{run}  {failure}"),
        }
    }
    Ok(())
}

/// Says what is in one.
pub(crate) fn show(run: &str) -> Result<(), Failure> {
    let (bytes, it) = load(&folder()?, run)?;
    let printed: usize = it.pieces.iter().map(|piece| piece.data.len()).sum();
    let took = it.pieces.last().map_or(0.0, |piece| piece.at.as_secs_f64());
    println!("  run      {run}");
    println!("  command  {}", in_words(&it));
    println!("  in       {}", printable(&it.what.cwd));
    println!("  output   {printed} bytes in {took:.1} s");
    println!("  file     {} bytes, sha256 {}", bytes.len(), Hash::of(&bytes));
    Ok(())
}

/// How a recording is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Playing {
    /// The very bytes.
    pub(crate) raw: bool,
    /// As text, whatever standard output is.
    pub(crate) text: bool,
    /// Without the pauses.
    pub(crate) at_once: bool,
}

/// Plays one.
pub(crate) fn play(run: &str, how: Playing) -> Result<(), Failure> {
    let (_, it) = load(&folder()?, run)?;
    let failed = |error: io::Error| Failure::failed(format!("the recording cannot be shown: {error}"));
    let mut out = io::stdout().lock();
    let look = match how {
        Playing { raw: true, .. } => Look::Raw,
        Playing { text: false, .. } if out.is_terminal() => Look::Screen,
        Playing { .. } => Look::Text,
    };
    for step in replay::steps(&it, look, 1.0) {
        if !how.at_once {
            sleep(step.pause);
        }
        out.write_all(&step.bytes).and_then(|()| out.flush()).map_err(failed)?;
    }
    if look == Look::Screen {
        out.write_all(replay::RESTORE).and_then(|()| out.flush()).map_err(failed)?;
    }
    if !it.whole {
        eprintln!("stintd: {}", replay::NOT_WHOLE);
    }
    Ok(())
}

fn folder() -> Result<PathBuf, Failure> {
    if nix::unistd::geteuid().is_root() {
        return Ok(Paths::system().recordings());
    }
    Err(Failure::new(Exit::NotRoot, "only root may see what commands printed"))
}

/// Being written, waiting for the broker, held by it as well.
fn places(folder: &Path) -> [PathBuf; 3] {
    [folder.to_owned(), folder.join(CLOSED), folder.join(HELD)]
}

fn load(folder: &Path, run: &str) -> Result<(Vec<u8>, Recording), Failure> {
    // A name, and no way out of the folder.
    if run.is_empty() || !run.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Failure::failed(format!("{:?} is not the name of a run", printable(run)))
            .next("`stintd session ls` lists them"));
    }
    let mut found = None;
    for place in places(folder) {
        if found.is_none() {
            found = files::read(&place.join(format!("{run}{SUFFIX}")), MAX_BYTES).map_err(Failure::failed)?;
        }
    }
    let bytes = found.ok_or_else(|| {
        Failure::failed(format!("there is no recording of run {run} here"))
            .next("`stintd session ls` lists them; what the broker has is played by `stint session play`")
    })?;
    let it =
        recording::read(&bytes).map_err(|e| Failure::failed(format!("the recording of run {run}: {e}")))?;
    Ok((bytes, it))
}

fn in_words(it: &Recording) -> String {
    let CommandLine { user, run_as, command, argv, .. } = &it.what;
    let words: Vec<_> =
        std::iter::once(command).chain(argv.iter().skip(1)).map(|word| printable(word)).collect();
    let part = if it.whole { "" } else { " (not whole)" };
    format!("{} as {}: {}{part}", printable(user), printable(run_as), words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "../x", "a/b", "a.recording", "\x1b[2J"] {
            let refused = load(folder.path(), name).unwrap_err().to_string();
            assert!(refused.contains("not the name of a run") && !refused.contains('\x1b'), "{refused}");
        }
    }
}
