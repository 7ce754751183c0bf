//! The root: shown, written to a file to be renewed offline, published.

use std::path::Path;

use serde_json::json;
use stint_api::people::NextRoot;
use stint_grant::root;
use stint_grant::time::UnixTime;

use crate::args::RootCommand;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::session::{Session, now};
use crate::{profile, show};

pub(super) async fn run(command: RootCommand, output: Output) -> Outcome {
    match command {
        RootCommand::Show => {
            let root = Session::open().await?.root().await?;
            output::show(output, &*root, |root| show::admin::root(root, now()))
        }
        RootCommand::Export { to } => export(&to, output).await,
        RootCommand::Publish { file } => publish(&file, output).await,
    }
}

async fn export(to: &Path, output: Output) -> Outcome {
    let (newest, envelope) = Session::open().await?.root_to_renew().await?;
    profile::write_private(to, envelope.as_bytes())?;
    output::show(output, &json!({ "version": newest.version }), |_| {
        format!(
            "Root {} of fleet {} is in {to}\nSign the next one where the root key is: \
             stint-broker root next --current {to} --key root.key --to next.json\n",
            newest.version,
            newest.fleet,
            to = to.display()
        )
    })
}

/// The broker checks the same; here it is refused before it leaves, and in words about the file.
async fn publish(file: &Path, output: Output) -> Outcome {
    let text = std::fs::read_to_string(file).map_err(|e| Failure::file(file, &e))?;
    let envelope = text.trim_end().to_owned();
    let session = Session::open().await?;
    let (current, _) = session.root_to_renew().await?;
    let next = root::rotate(&current, envelope.as_bytes())
        .and_then(|next| next.check_time(UnixTime(now())).map(|()| next))
        .map_err(|e| {
            Failure::unverified(format!("{}: {e}", file.display())).next(
                "sign the root that follows the current one: stint root export, then stint-broker root next",
            )
        })?;
    session.client().publish_root(&NextRoot { envelope }).await?;
    output::show(output, &json!({ "published": true, "version": next.version }), |_| {
        format!("Root {} published: hosts take it with their next update\n", next.version)
    })
}
