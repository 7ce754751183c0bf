//! The roster: shown, signed, published.

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use stint_api::people::{RootChain, RosterDocument};
use stint_grant::dsse::Verified;
use stint_grant::root::{self, Root};
use stint_grant::time::UnixTime;

use crate::args::{RosterCommand, RosterSignArgs};
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::session::{Session, now};
use crate::{profile, roster_file, show, signer, trust};

pub(super) async fn run(command: RosterCommand, output: Output) -> Outcome {
    match command {
        RosterCommand::Show => show(output).await,
        RosterCommand::Sign(args) => sign(&args, output),
        RosterCommand::Publish { file } => publish(&file, output).await,
    }
}

async fn show(output: Output) -> Outcome {
    let session = Session::open().await?;
    let root = session.root().await?;
    let document = session.client().roster().await?;
    let roster = trust::roster(&document.envelope, &root, UnixTime(now()))?;
    match output {
        Output::Text => output::write(&show::admin::roster(&roster, now())),
        Output::Json => output::show(output, &*roster, |_| String::new()),
    }
}

fn read(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|e| Failure::file(path, &e))
}

/// The newest root in the files given. The first is taken as it is: whoever signs a roster has it from `init`.
fn newest_root(paths: &[PathBuf]) -> Outcome<Option<Verified<Root>>> {
    let mut envelopes = Vec::new();
    for path in paths {
        let text = read(path)?;
        match serde_json::from_str::<RootChain>(&text) {
            Ok(chain) => envelopes.extend(chain.envelopes),
            Err(_) => envelopes.push(text),
        }
    }
    let Some(first) = envelopes.first() else { return Ok(None) };
    trust::walk(&envelopes, &root::pin_of(first.as_bytes()), UnixTime(now())).map(Some)
}

fn sign(args: &RosterSignArgs, output: Output) -> Outcome {
    let root = newest_root(&args.roots)?;
    let now = UnixTime(now());
    let roster = roster_file::read(&read(&args.input)?, &args.input, root.as_ref().map(|r| &r.fleet), now)?;
    let mut keys = Vec::new();
    for path in &args.keys {
        let key = signer::private_key(path, &read(path)?, args.passphrase_file.as_deref())?;
        let pair = key
            .key_data()
            .ed25519()
            .ok_or_else(|| Failure::usage(format!("{}: not an Ed25519 key", path.display())))?;
        keys.push(SigningKey::from_bytes(&pair.private.to_bytes()));
    }
    let envelope = roster_file::sign(&roster, &keys);
    if let Some(root) = &root {
        trust::roster(&envelope, root, now)
            .map_err(|f| f.next("sign with the roster key that `stint-broker init` made for this root"))?;
    }
    profile::write_private(&args.to, envelope.as_bytes())?;
    let names: Vec<_> = roster.reviewers.iter().map(|r| r.name.to_string()).collect();
    output::show(output, &roster, |r| {
        format!(
            "Roster {} of fleet {} signed, until {}: {}\nPublish it: stint roster publish {}\n",
            r.version,
            r.fleet,
            r.expires_at,
            names.join(", "),
            args.to.display()
        )
    })
}

async fn publish(file: &Path, output: Output) -> Outcome {
    let envelope = read(file)?.trim_end().to_owned();
    let session = Session::open().await?;
    if let Some(root) = session.pinned_root().await? {
        trust::roster(&envelope, &root, UnixTime(now()))?;
    }
    session.client().publish_roster(&RosterDocument { envelope }).await?;
    output::show(output, &serde_json::json!({ "published": true }), |_| "Roster published\n".to_owned())
}
