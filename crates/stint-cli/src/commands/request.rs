//! Asking for access.

use std::path::Path;

use stint_api::client::Filter;
use stint_api::requests::{NewCode, NewRequest, RequestView};
use stint_grant::codes::{Code, CodePlace};
use stint_grant::ids::{HostName, UserName};
use stint_grant::rights::account::KEY_TYPES;
use stint_grant::terms::CheckedTerms;
use zeroize::Zeroizing;

use super::{grant, review};
use crate::args::{ClassArg, CreateArgs, RequestCommand};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::session::{Session, now};
use crate::{check, codes, duration, show, wait};

/// How long an activation at the end of `--wait` waits for the hosts.
const EFFECT: u64 = 10;

pub(super) async fn run(command: RequestCommand, output: Output) -> Outcome {
    match command {
        RequestCommand::Create(args) => create(args, output).await,
        RequestCommand::Wait(args) => {
            let mut session = Session::open().await?;
            let id = session.request_id(&args.id).await?;
            let request = session.client().request_by_id(&id).await?;
            let request = wait::for_reviews(&mut session, request, args.timeout, output).await?;
            finish(&mut session, request, true, !args.no_activate, output).await
        }
        RequestCommand::Review(args) => review::run(args, output).await,
        RequestCommand::Ls(args) => {
            let session = Session::open().await?;
            let filter = Filter { state: args.state, all: args.all };
            let requests = session.client().requests(&filter).await?;
            output::show(output, &requests, |r| show::request::list(r, now()))
        }
        RequestCommand::Show { id } => {
            let session = Session::open().await?;
            let id = session.request_id(&id).await?;
            let request = session.client().request_by_id(&id).await?;
            let terms = check::read(&request)?;
            output::show(output, &request, |r| show::request::full(r, &terms, now()))
        }
        RequestCommand::Cancel { id } => {
            let session = Session::open().await?;
            let id = session.request_id(&id).await?;
            let request = session.client().cancel_request(&id).await?;
            output::show(output, &request, |r| format!("{}\n", show::request::waiting(r)))
        }
    }
}

fn wanted(args: &CreateArgs, codes: Vec<NewCode>) -> Outcome<NewRequest> {
    let class = match args.class {
        _ if !codes.is_empty() => "break_glass",
        ClassArg::Routine => "routine",
        ClassArg::Incident => "incident",
    };
    Ok(NewRequest {
        entitlement: args.entitlement.clone(),
        hosts: args.hosts.clone(),
        reason: args.reason.clone(),
        ticket: args.ticket.clone(),
        window: args.window,
        not_before: None,
        class: Some(class.to_owned()),
        credentials: args.credentials.clone(),
        keys: args.ssh_keys.iter().map(|path| public_key(path)).collect::<Outcome<_>>()?,
        codes,
    })
}

/// Type and base64 of a `.pub` file, without its comment.
fn public_key(path: &Path) -> Outcome<String> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, &e))?;
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some(kind), Some(body)) if KEY_TYPES.contains(&kind) => Ok(format!("{kind} {body}")),
        _ => Err(Failure::usage(format!("{}: not an SSH public key", path.display()))
            .next("name the .pub file of your key")),
    }
}

async fn create(args: CreateArgs, output: Output) -> Outcome {
    let mut session = Session::open().await?;
    let fleet = session.pinned_root().await?.map(|root| root.fleet.clone());
    let place = match args.codes {
        Some(_) => Some(place(&session, &args).await?),
        None => None,
    };
    let (codes, verifiers) = match (args.codes, &place) {
        (Some(count), Some(place)) => codes::make(count, place)?,
        _ => (Vec::new(), Vec::new()),
    };
    let asked = wanted(&args, verifiers)?;
    let request = session.client().request(&asked).await?;
    let terms = check::answer(&asked, session.principal(), fleet.as_ref(), &request, now())?;
    check::place(place.as_ref(), &terms)?;
    if output == Output::Text {
        output::write(&made(&request, &terms))?;
    }
    if !codes.is_empty() {
        // Now or never: nobody else has them.
        show_codes(&codes, &request, output)?;
    }
    let request = if args.wait {
        wait::for_reviews(&mut session, request, args.timeout, output).await?
    } else {
        request
    };
    let activate = args.activate || args.wait && !args.no_activate;
    finish(&mut session, request, args.wait, activate, output).await
}

/// What the codes are bound to: the fleet of the pinned root, the one host, and the caller's own account.
async fn place(session: &Session, args: &CreateArgs) -> Outcome<CodePlace> {
    let [host] = args.hosts.as_slice() else {
        return Err(Failure::usage("break-glass codes are for exactly one host")
            .next("make a request for each host, each with codes of its own"));
    };
    let fleet = session.root().await?.fleet.clone();
    let host = HostName::new(host.as_str()).map_err(|e| Failure::usage(e.to_string()))?;
    let account = session.client().me().await?.account;
    let user = UserName::new(account).map_err(Failure::unverified)?;
    Ok(CodePlace { fleet, host, user })
}

/// On standard output for people; for programs on standard error, since the answer itself is one document.
fn show_codes(codes: &[Code], request: &RequestView, output: Output) -> Outcome {
    let papers: Vec<_> = codes.iter().map(Code::for_paper).collect();
    if output == Output::Json {
        let papers: Vec<&str> = papers.iter().map(|paper| paper.as_str()).collect();
        output::note(&Zeroizing::new(
            serde_json::json!({ "request": request.id, "codes": papers }).to_string(),
        ));
        return Ok(());
    }
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str(
        "Break-glass codes, shown this once and kept nowhere: write them down. Each opens the right once.\n",
    );
    for paper in &papers {
        text.push_str("  ");
        text.push_str(paper);
        text.push('\n');
    }
    output::write(&text)
}

/// After the wait, or without one: starts the window if that is wished and possible, and shows how it stands.
async fn finish(
    session: &mut Session,
    request: RequestView,
    waited: bool,
    activate: bool,
    output: Output,
) -> Outcome {
    judge(&request, waited)?;
    if activate && request.state == "approved" {
        session.fresh().await?;
        let grant = session.client().activate(&request.id).await?;
        let grant = wait::for_grant(session, grant, EFFECT).await?;
        return grant::show_change(output, &grant);
    }
    match output {
        Output::Text => output::write(&next_step(&request)),
        Output::Json => output::show(output, &request, |_| String::new()),
    }
}

/// A request whose wait has ended otherwise than in approval.
pub(super) fn judge(request: &RequestView, waited: bool) -> Outcome {
    let failed = |exit, next: &str| {
        let message = show::request::waiting(request);
        Err(Failure::new(exit, message).next(next))
    };
    match request.state.as_str() {
        "pending" | "approved" => Ok(()),
        _ if !waited => Ok(()),
        "denied" => failed(Exit::Denied, "talk to the reviewer; then ask again: stint request create"),
        "expired" => failed(Exit::TimedOut, "ask again: stint request create"),
        _ => failed(Exit::Refused, "ask again: stint request create"),
    }
}

/// What was asked for and what will be enforced, as this side read it from the terms.
fn made(request: &RequestView, terms: &CheckedTerms) -> String {
    format!(
        "Request {}. The hosts will enforce:\n{}",
        show::safe(&request.id),
        show::terms::in_words(terms, now())
    )
}

fn next_step(request: &RequestView) -> String {
    let id = show::safe(&request.id);
    match request.state.as_str() {
        "approved" => format!(
            "Approved. Start the window ({}) when you are ready: stint grant activate {id}\n",
            duration::words(request.window)
        ),
        _ => format!("{}\n", show::request::waiting(request)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples;

    fn in_state(state: &str) -> RequestView {
        let mut request = samples::request();
        request.state = state.into();
        request
    }

    #[test]
    fn after_a_wait_each_end_has_its_exit_code() {
        let exit = |state| judge(&in_state(state), true).map_err(|f| f.exit);
        assert_eq!(exit("approved"), Ok(()));
        assert_eq!(exit("denied"), Err(Exit::Denied));
        assert_eq!(exit("expired"), Err(Exit::TimedOut));
        assert_eq!(exit("cancelled"), Err(Exit::Refused));
    }

    #[test]
    fn an_approved_request_says_how_to_start() {
        assert_eq!(
            next_step(&in_state("approved")),
            "Approved. Start the window (40 min) when you are ready: stint grant activate 7f3abcdefgh2\n"
        );
        assert_eq!(next_step(&in_state("pending")), "Request 7f3abcdefgh2 waits for 1 review ...\n");
    }
}
