//! The hosts' journals.

use std::path::Path;

use crate::args::{AuditCommand, AuditSource, ExportArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::journal::{self, Journal};
use crate::output::{self, Output};
use crate::session::Session;
use crate::show::safe;

pub(super) async fn run(command: AuditCommand, output: Output) -> Outcome {
    match command {
        AuditCommand::Verify(source) => {
            let journal = load(&source).await?;
            let given = source.key.as_deref().map(journal::key).transpose()?;
            let verified = journal::verify(&journal, given)?;
            output::show(output, &verified, journal::report)
        }
        AuditCommand::Ls(source) => {
            let journal = load(&source).await?;
            let given = source.key.as_deref().map(journal::key).transpose()?;
            match output {
                Output::Text => output::write(&journal::in_words(&journal)?)?,
                Output::Json => output::write(&format!("{}\n", journal.records.join("\n")))?,
            }
            // Shown first: whoever looks for what is wrong needs to see it.
            journal::verify(&journal, given).map(drop)
        }
        AuditCommand::Export(args) => export(&args, output).await,
    }
}

async fn load(source: &AuditSource) -> Outcome<Journal> {
    if let Some(path) = &source.file {
        return from_file(path);
    }
    let host = source.host.as_deref().ok_or_else(|| Failure::usage("which host? give --host or --file"))?;
    let session = Session::open().await?;
    from_broker(&session, host).await
}

async fn from_broker(session: &Session, host: &str) -> Outcome<Journal> {
    let journal = journal::download(session.client(), host).await?;
    if journal.host != host {
        return Err(Failure::unverified(format!(
            "the broker handed out the journal of {}, not of {host}",
            safe(&journal.host)
        )));
    }
    Ok(journal)
}

fn from_file(path: &Path) -> Outcome<Journal> {
    let text = std::fs::read(path).map_err(|e| Failure::file(path, &e))?;
    serde_json::from_slice(&text).map_err(|e| {
        Failure::usage(format!("{}: not an exported journal: {e}", path.display()))
            .next("stint audit export --host HOST --to FILE")
    })
}

async fn export(args: &ExportArgs, output: Output) -> Outcome {
    let session = Session::open().await?;
    let journal = from_broker(&session, &args.host).await?;
    let json = serde_json::to_vec_pretty(&journal)
        .map_err(|e| Failure::new(Exit::Refused, format!("the journal cannot be written as JSON: {e}")))?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&args.to);
    file.and_then(|mut f| std::io::Write::write_all(&mut f, &json)).map_err(|e| {
        Failure::file(&args.to, &e).next("name a new file, in a folder that you may write to")
    })?;
    let done = serde_json::json!({ "host": journal.host, "records": journal.records.len(), "file": args.to });
    output::show(output, &done, |_| {
        format!(
            "{} records of {} written to {}\nVerify: stint audit verify --file {} --key KEY\n",
            journal.records.len(),
            safe(&journal.host),
            args.to.display(),
            args.to.display()
        )
    })
}
