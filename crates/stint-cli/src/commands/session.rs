//! What commands printed: listed by the broker's word, shown only after the host's journal has confirmed it.

use std::io::{IsTerminal, Write};
use std::path::Path;

use stint_api::recordings::{RecordingView, WhichRecordings};
use stint_log::Hash;
use stint_log::record::IoLog;
use stint_sudolog::recording::{self, Recording};
use stint_sudolog::replay::{self, Look};

use crate::args::{PlayArgs, SessionCommand};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::session::Session;
use crate::show::recording::list;
use crate::show::safe;
use crate::{ids, journal};

/// The most that the broker lists at once.
const MOST: i64 = 5000;

pub(super) async fn run(command: SessionCommand, output: Output) -> Outcome {
    match command {
        SessionCommand::Ls { host, grant } => {
            let session = Session::open().await?;
            let which = WhichRecordings { host, grant, run: None, limit: Some(MOST) };
            let found = session.client().recordings(&which).await?;
            output::show(output, &found, |found| list(found))?;
            if i64::try_from(found.len()).unwrap_or(MOST) >= MOST {
                output::note(&format!(
                    "stint: these are the newest {MOST}, there may be more: name a --host or a --grant"
                ));
            }
            Ok(())
        }
        SessionCommand::Play(args) => play(&args).await,
    }
}

async fn play(args: &PlayArgs) -> Outcome {
    let given = args.key.as_deref().map(journal::key).transpose()?;
    let session = Session::open().await?;
    let client = session.client();
    let prefix = ids::normal(&args.run, "run")?;
    let which = WhichRecordings {
        host: args.host.clone(),
        run: Some(prefix.clone()),
        limit: Some(MOST),
        grant: None,
    };
    let known = client.recordings(&which).await?;
    let RecordingView { host, run, .. } = find(&known, &prefix)?;
    let bytes = client.recording(host, run).await?;
    // After the recording: a journal that was taken before might not name it yet.
    let journal = journal::download(client, host).await?;
    if journal.host != *host {
        return Err(Failure::unverified(format!(
            "the broker handed out the journal of {}",
            safe(&journal.host)
        )));
    }
    let key = given.map_or_else(|| journal::key(&journal.identity_key), Ok)?;
    journal::verify(&journal, Some(key))?;
    let named = journal::recording(&journal, &key, run)?;
    let it = verified(&bytes, &named, run)?;
    if given.is_none() {
        output::note("stint: the host's key is the broker's word; give --key to verify without it");
    }
    match &args.to {
        Some(path) => save(path, &bytes)?,
        None => show(&it, args)?,
    }
    if !it.whole || !named.whole {
        output::note(&format!("stint: {}", replay::NOT_WHOLE));
    }
    Ok(())
}

fn find<'a>(known: &'a [RecordingView], prefix: &str) -> Outcome<&'a RecordingView> {
    let run = ids::unique(prefix, known.iter().map(|it| it.run.as_str()), "run")?;
    let missing = || {
        Failure::new(Exit::NotFound, format!("there is no recording of run {prefix} that you may see"))
            .next("list them: stint session ls")
    };
    let run = run.ok_or_else(missing)?;
    let mut of_it = known.iter().filter(|it| it.run == run);
    match (of_it.next(), of_it.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("more than one host has a run {run}")).next("name the host: --host"))
        }
        _ => Err(missing()),
    }
}

/// The recording, if it is the very one that the host signed.
fn verified(bytes: &[u8], named: &IoLog, run: &str) -> Outcome<Recording> {
    let found = Hash::of(bytes);
    if found != named.sha256 || bytes.len() as u64 != named.bytes {
        return Err(Failure::unverified(format!(
            "what the broker holds of run {run} is not what the host recorded: {} bytes with SHA-256 {found}, the journal names {} with {}",
            bytes.len(),
            named.bytes,
            named.sha256
        ))
        .next("nothing of it is shown; the host may still have its own: `stintd session play` there"));
    }
    recording::read(bytes)
        .map_err(|e| Failure::new(Exit::Refused, format!("the recording of run {run}: {e}")))
}

fn save(path: &Path, bytes: &[u8]) -> Outcome {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .map_err(|e| Failure::file(path, &e).next("name a new file, in a folder that you may write to"))
}

fn show(it: &Recording, args: &PlayArgs) -> Outcome {
    let mut out = std::io::stdout().lock();
    let is_terminal = out.is_terminal();
    let look = if args.text || !is_terminal { Look::Text } else { Look::Screen };
    let mut write = |bytes: &[u8]| out.write_all(bytes).and_then(|()| out.flush());
    let mut shown = Ok(());
    for step in replay::steps(it, look, args.speed) {
        // A file need not be waited for.
        if is_terminal {
            std::thread::sleep(step.pause);
        }
        shown = write(&step.bytes);
        if shown.is_err() {
            break;
        }
    }
    if look == Look::Screen {
        shown = shown.and_then(|()| write(replay::RESTORE));
    }
    match shown {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Refused, format!("standard output cannot be written: {e}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(host: &str, run: &str) -> RecordingView {
        RecordingView {
            host: host.into(),
            run: run.into(),
            grant: None,
            user: "alice".into(),
            run_as: "root".into(),
            command: "/bin/id".into(),
            argv: vec![],
            began: 0,
            bytes: Some(3),
            sha256: None,
            whole: Some(true),
            received: Some(1),
        }
    }

    #[test]
    fn a_run_is_found_by_its_beginning_and_two_hosts_with_one_run_are_told_apart() {
        let known =
            [view("web-01", "abcd"), view("web-01", "abxx"), view("web-02", "zzzz"), view("web-03", "zzzz")];
        assert_eq!(find(&known, "abc").unwrap().run, "abcd");
        assert_eq!(find(&known, "ab").unwrap_err().exit, Exit::Usage);
        assert_eq!(find(&known, "q").unwrap_err().exit, Exit::NotFound);
        assert!(find(&known, "z").unwrap_err().next.unwrap().contains("--host"));
    }

    #[test]
    fn a_byte_more_less_or_other_than_the_host_signed_is_not_shown() {
        let file = b"stint-recording 1\n".to_vec();
        let named = IoLog { bytes: file.len() as u64, sha256: Hash::of(&file), whole: true };
        let exit = |bytes: &[u8]| verified(bytes, &named, "abcd").unwrap_err().exit;
        assert_eq!(exit(&file), Exit::Refused, "the very file, which holds no command");
        let mut other = file.clone();
        other[3] ^= 1;
        assert_eq!(exit(&other), Exit::Unverified);
        assert_eq!(exit(&file[1..]), Exit::Unverified);
        assert_eq!(exit(&[&file[..], b"x"].concat()), Exit::Unverified);
    }
}
