//! `stint ssh HOST`: finds a grant, or gets one; has a key certified for it; logs in.
//!
//! - [`choose`] says what is to be done, from what the caller has (pure);
//! - [`ask`] makes a request where there is nothing to use;
//! - [`identity`] is the key, made for one login or the user's own;
//! - [`client`] runs the system's ssh with it;
//! - [`config`] is for plain `ssh`, scp, rsync and what builds on them.

mod ask;
mod choose;
mod client;
mod config;
mod identity;

use std::process::ExitCode;

use stint_api::client::Filter;
use stint_api::grants::{CertificateView, GrantView, NewCertificate};
use stint_grant::ids::{HostName, UserName};

use crate::args::SshArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Output, note};
use crate::session::{Session, now};
use crate::{prompt, show, wait};
use choose::Next;
use identity::Identity;

pub(super) use config::print as print_config;

/// How long the host may take to have a grant, in seconds.
const EFFECT: u64 = 10;

/// Logs in, and gives ssh's own exit code.
pub(super) async fn run(args: SshArgs, output: Output) -> Outcome<ExitCode> {
    let host = HostName::new(args.host.as_str()).map_err(|e| Failure::usage(e.to_string()))?;
    let mut session = Session::open().await?;
    if args.prepare {
        config::prepare(&session, &host).await?;
        return Ok(ExitCode::SUCCESS);
    }
    // What cannot be used for a login is found before anybody is asked to review one.
    let identity = match &args.identity {
        Some(path) => Identity::of_file(path)?,
        None => Identity::new()?,
    };
    let grant = usable(&mut session, &host, &args, output).await.map_err(|f| in_an_outage(f, &host))?;
    session.fresh().await?;
    let certificate = certify(&session, &grant, &host, &identity).await?;
    if let Some(until) = grant.until {
        let entitlement = show::safe(&grant.entitlement);
        note(&format!("{host}: access until {} ({entitlement})", show::when(until, now())));
    }
    client::run(&host, &certificate, &identity, &args.args).await
}

/// With the broker gone there is one way left.
fn in_an_outage(failure: Failure, host: &HostName) -> Failure {
    if failure.exit != Exit::Unreachable {
        return failure;
    }
    failure.next(format!(
        "check the network; whoever has a break-glass code for {host}: ssh -o PreferredAuthentications=keyboard-interactive {host}"
    ))
}

/// A grant that is in force on the host.
async fn usable(
    session: &mut Session,
    host: &HostName,
    args: &SshArgs,
    output: Output,
) -> Outcome<GrantView> {
    let (grants, requests) = mine(session).await?;
    let grant = match choose::next(&grants, &requests, host.as_str(), args.entitlement.as_deref()) {
        Next::Use(grant) => grant.clone(),
        Next::Activate(grant) => {
            let window = format!(
                "{host}: grant {} ({}) is approved. Start its window now?",
                show::safe(&grant.id),
                show::safe(&grant.entitlement)
            );
            if !args.wait {
                prompt::confirm(&window)?;
            }
            session.client().activate(&grant.id).await?
        }
        Next::Wait(request) => ask::wait(session, request.clone(), args.timeout, output).await?,
        Next::Ask => ask::request(session, host, args, output).await?,
    };
    let grant = wait::for_grant(session, grant, EFFECT).await?;
    let here = grant.effect.hosts.iter().find(|effect| effect.host == host.as_str());
    match here {
        Some(effect) if effect.refused.is_some() => {
            let why = show::safe(effect.refused.as_deref().unwrap_or_default());
            Err(Failure::new(Exit::Refused, format!("{host} refuses grant {}: {why}", show::safe(&grant.id)))
                .next(
                    "the host's own ceiling (/etc/stint/host.toml) says what it takes; ask its administrator",
                ))
        }
        Some(effect) if effect.effective_after_ms.is_none() => Err(Failure::new(
            Exit::TimedOut,
            format!("{host} has not been heard from: grant {} is not in force there", show::safe(&grant.id)),
        )
        .next("try again when it is: stint host ls")),
        _ => Ok(grant),
    }
}

async fn mine(session: &Session) -> Outcome<(Vec<GrantView>, Vec<stint_api::requests::RequestView>)> {
    let client = session.client();
    let all = Filter { state: None, all: false };
    let (mut grants, mut requests) = (client.grants(&all).await?, client.requests(&all).await?);
    // Reviewers are shown what others asked for.
    grants.retain(|grant| grant.principal == session.principal());
    requests.retain(|request| request.principal == session.principal());
    Ok((grants, requests))
}

/// Has a key certified, and looks at what came.
async fn certify(
    session: &Session,
    grant: &GrantView,
    host: &HostName,
    identity: &Identity,
) -> Outcome<CertificateView> {
    let asked = NewCertificate { host: host.to_string(), public_key: identity.public_line()? };
    let answer = session.client().certify(&grant.id, &asked).await?;
    identity.check(&answer.certificate)?;
    // It becomes an argument of ssh.
    UserName::new(answer.user.as_str()).map_err(Failure::unverified)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_finds_no_broker_is_told_of_the_way_that_is_left() {
        let host: HostName = "web-01".parse().unwrap();
        let gone = in_an_outage(Failure::new(Exit::Unreachable, "no answer").next("wait"), &host);
        assert!(gone.next.unwrap().ends_with("ssh -o PreferredAuthentications=keyboard-interactive web-01"));
        let denied = in_an_outage(Failure::new(Exit::Denied, "no").next("ask"), &host);
        assert_eq!(denied.next.as_deref(), Some("ask"));
    }
}
