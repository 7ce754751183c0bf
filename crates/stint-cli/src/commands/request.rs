//! Asking for access.

use stint_api::client::Filter;
use stint_api::requests::{NewRequest, RequestView};
use stint_grant::terms::CheckedTerms;

use super::{grant, review};
use crate::args::{ClassArg, CreateArgs, RequestCommand};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::session::{Session, now};
use crate::{check, duration, show, wait};

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

fn wanted(args: &CreateArgs) -> NewRequest {
    let class = match args.class {
        ClassArg::Routine => "routine",
        ClassArg::Incident => "incident",
    };
    NewRequest {
        entitlement: args.entitlement.clone(),
        hosts: args.hosts.clone(),
        reason: args.reason.clone(),
        ticket: args.ticket.clone(),
        window: args.window,
        not_before: None,
        class: Some(class.to_owned()),
        credentials: args.credentials.clone(),
    }
}

async fn create(args: CreateArgs, output: Output) -> Outcome {
    let mut session = Session::open().await?;
    let fleet = session.pinned_root().await?.map(|root| root.fleet.clone());
    let asked = wanted(&args);
    let request = session.client().request(&asked).await?;
    let terms = check::answer(&asked, session.principal(), fleet.as_ref(), &request, now())?;
    if output == Output::Text {
        output::write(&made(&request, &terms))?;
    }
    let request = if args.wait {
        wait::for_reviews(&mut session, request, args.timeout, output).await?
    } else {
        request
    };
    let activate = args.activate || args.wait && !args.no_activate;
    finish(&mut session, request, args.wait, activate, output).await
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
