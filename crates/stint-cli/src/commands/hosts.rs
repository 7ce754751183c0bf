//! Hosts.

use stint_api::hosts::InviteHost;
use stint_grant::ids::HostName;

use crate::args::{HostCommand, JoinArgs};
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::session::{Session, now};
use crate::show;

fn checked(name: &str) -> Outcome<String> {
    HostName::new(name).map(|n| n.to_string()).map_err(|e| Failure::usage(e.to_string()))
}

pub(super) async fn run(command: HostCommand, output: Output) -> Outcome {
    match command {
        HostCommand::Ls => {
            let session = Session::open().await?;
            let hosts = session.client().hosts().await?;
            output::show(output, &hosts, |h| show::admin::hosts(h, now()))
        }
        HostCommand::Show { name } => {
            let name = checked(&name)?;
            let session = Session::open().await?;
            let host = session.client().host(&name).await?;
            output::show(output, &host, |h| show::admin::host(h, now()))
        }
        HostCommand::Join(args) => join(args, output).await,
    }
}

async fn join(args: JoinArgs, output: Output) -> Outcome {
    let host = checked(&args.name)?;
    let count = args.labels.len();
    let labels: std::collections::BTreeMap<_, _> = args.labels.into_iter().collect();
    if labels.len() != count {
        return Err(Failure::usage("a label stands twice").next("give each KEY once"));
    }
    let session = Session::open().await?;
    let invitation = session.client().invite_host(&InviteHost { host, labels, ttl: args.ttl }).await?;
    let broker = session.profile.broker.clone();
    output::show(output, &invitation, |i| show::admin::invitation(i, &broker, now()))
}
