//! `stintd session ls|show|play`: what commands printed, read on the host by its root.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use stint_grant::words::printable;
use stint_log::Hash;
use stint_log::record::CommandLine;
use stint_sudolog::recording::{self, Piece, Recording, Stream};
use stint_sudolog::screen::Screen;

use super::failure::{Exit, Failure};
use crate::warden::files;
use crate::warden::paths::Paths;
use crate::warden::sudo_log::recordings::SUFFIX;

/// More than a recording can have.
const MAX_BYTES: usize = 128 * 1024 * 1024;
/// Longer pauses are cut to this: nobody waits through somebody's lunch.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Lists all recordings.
pub(crate) fn ls() -> Result<(), Failure> {
    let folder = folder()?;
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::failed(format!("{}: {error}", folder.display()))),
    };
    let mut runs: Vec<_> = entries.flatten().filter_map(|entry| run_of(&entry.path())).collect();
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

/// Plays one.
pub(crate) fn play(run: &str, raw: bool, at_once: bool) -> Result<(), Failure> {
    let (_, it) = load(&folder()?, run)?;
    let failed = |error: io::Error| Failure::failed(format!("the recording cannot be shown: {error}"));
    let mut out = io::stdout().lock();
    print_all(&it.pieces, raw, &mut out, |pause| {
        if !at_once {
            sleep(pause.min(LONGEST_PAUSE));
        }
    })
    .map_err(failed)?;
    if !raw {
        // Colours off, the first screen, the cursor seen: whatever the recording left behind.
        out.write_all(b"\x1b[0m\x1b[?1049l\x1b[?25h\x1b(B\r\n").map_err(failed)?;
        out.flush().map_err(failed)?;
    }
    if !it.whole {
        eprintln!("stintd: this recording does not go to the command's end");
    }
    Ok(())
}

fn print_all(
    pieces: &[Piece],
    raw: bool,
    out: &mut impl Write,
    mut wait: impl FnMut(Duration),
) -> io::Result<()> {
    let (mut screen, mut last) = (Screen::default(), Duration::ZERO);
    for piece in pieces.iter().filter(|piece| piece.stream == Stream::Output) {
        wait(piece.at.saturating_sub(last));
        last = piece.at;
        let bytes = if raw { piece.data.clone() } else { screen.pass(&piece.data) };
        out.write_all(&bytes)?;
        out.flush()?;
    }
    Ok(())
}

fn folder() -> Result<PathBuf, Failure> {
    if nix::unistd::geteuid().is_root() {
        return Ok(Paths::system().recordings());
    }
    Err(Failure::new(Exit::NotRoot, "only root may see what commands printed"))
}

fn run_of(path: &Path) -> Option<String> {
    path.file_name()?.to_str()?.strip_suffix(SUFFIX).map(str::to_owned)
}

fn load(folder: &Path, run: &str) -> Result<(Vec<u8>, Recording), Failure> {
    // A name, and no way out of the folder.
    if run.is_empty() || !run.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Failure::failed(format!("{:?} is not the name of a run", printable(run)))
            .next("`stintd session ls` lists them"));
    }
    let bytes = files::read(&folder.join(format!("{run}{SUFFIX}")), MAX_BYTES).map_err(Failure::failed)?;
    let bytes = bytes.ok_or_else(|| {
        Failure::failed(format!("there is no recording of run {run} here"))
            .next("`stintd session ls` lists them; another host has its own")
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

    fn piece(at: u64, stream: Stream, data: &[u8]) -> Piece {
        Piece { at: Duration::from_secs(at), stream, data: data.to_vec() }
    }

    #[test]
    fn output_is_played_with_its_pauses_and_without_what_drives_a_terminal() {
        let pieces = [
            piece(1, Stream::Output, b"one\x1b]0;ti"),
            piece(2, Stream::Input, b"secret"),
            piece(4, Stream::Output, b"tle\x07two"),
        ];
        let (mut out, mut pauses) = (Vec::new(), Vec::new());
        print_all(&pieces, false, &mut out, |pause| pauses.push(pause.as_secs())).unwrap();
        assert_eq!((out.as_slice(), pauses.as_slice()), (b"onetwo".as_slice(), [1, 3].as_slice()));
        let mut raw = Vec::new();
        print_all(&pieces, true, &mut raw, |_| ()).unwrap();
        assert_eq!(raw, b"one\x1b]0;title\x07two");
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "../x", "a/b", "a.recording", "\x1b[2J"] {
            let refused = load(folder.path(), name).unwrap_err().to_string();
            assert!(refused.contains("not the name of a run") && !refused.contains('\x1b'), "{refused}");
        }
    }
}
