//! Using, lengthening and ending grants.

use stint_api::client::Filter;
use stint_api::grants::GrantView;

use crate::args::{GrantCommand, WaitArgs};
use crate::exit::Outcome;
use crate::output::{self, Output};
use crate::session::{Session, now};
use crate::{show, wait};

pub(super) async fn run(command: GrantCommand, output: Output) -> Outcome {
    let session = Session::open().await?;
    let client = session.client();
    match command {
        GrantCommand::Ls(args) => {
            let grants = client.grants(&Filter { state: args.state, all: args.all }).await?;
            output::show(output, &grants, |g| show::grant::list(g, now()))
        }
        GrantCommand::Show { id } => {
            let grant = client.grant(&session.grant_id(&id).await?).await?;
            output::show(output, &grant, |g| show::grant::full(g, now()))
        }
        GrantCommand::Activate(args) => {
            let grant = client.activate(&session.grant_id(&args.id).await?).await?;
            changed(&session, grant, &args.wait, output).await
        }
        GrantCommand::End(args) => {
            let grant = client.end(&session.grant_id(&args.id).await?).await?;
            changed(&session, grant, &args.wait, output).await
        }
        GrantCommand::Revoke(args) => {
            let grant = client.revoke(&session.grant_id(&args.id).await?, &args.reason).await?;
            changed(&session, grant, &args.wait, output).await
        }
        GrantCommand::Extend(args) => {
            let grant = client.extend(&session.grant_id(&args.id).await?, args.by).await?;
            changed(&session, grant, &args.wait, output).await
        }
    }
}

async fn changed(session: &Session, grant: GrantView, wait: &WaitArgs, output: Output) -> Outcome {
    if !wait.wait {
        return output::show(output, &grant, |g| show::grant::change(g, now()));
    }
    show_change(output, &wait::for_grant(session, grant, wait.timeout).await?)
}

/// Shows what a change came to after one waited for it, and fails if it is not in effect.
pub(super) fn show_change(output: Output, grant: &GrantView) -> Outcome {
    output::show(output, grant, |g| show::grant::change(g, now()))?;
    wait::judge(&grant.effect, &format!("grant {}", grant.id))
}
