//! Users, and what may be requested.

use clap::ValueEnum;
use stint_api::people::{ChangeUser, NewUser};

use crate::args::{EntitlementCommand, UserCommand};
use crate::exit::Outcome;
use crate::output::{self, Output};
use crate::session::Session;
use crate::show;

pub(super) async fn entitlements(command: &EntitlementCommand, output: Output) -> Outcome {
    let EntitlementCommand::Ls = command;
    let session = Session::open().await?;
    let entitlements = session.client().entitlements().await?;
    output::show(output, &entitlements, |e| show::admin::entitlements(e))
}

pub(super) async fn users(command: UserCommand, output: Output) -> Outcome {
    let session = Session::open().await?;
    match command {
        UserCommand::Ls => {
            let users = session.client().users().await?;
            output::show(output, &users, |u| show::admin::users(u))
        }
        UserCommand::Reset { name } => {
            let secrets = session.client().reset_user(&name).await?;
            output::show(output, &secrets, show::admin::secrets)
        }
        UserCommand::Disable { name } => may_sign_in(&session, &name, false, output).await,
        UserCommand::Enable { name } => may_sign_in(&session, &name, true, output).await,
        UserCommand::Add(args) => {
            let roles = args.roles.iter().filter_map(ValueEnum::to_possible_value);
            let roles = roles.map(|r| r.get_name().to_owned()).collect();
            let user = NewUser { name: args.name, account: args.account, roles };
            let secrets = session.client().add_user(&user).await?;
            output::show(output, &secrets, show::admin::secrets)
        }
    }
}

async fn may_sign_in(session: &Session, name: &str, enabled: bool, output: Output) -> Outcome {
    let change = ChangeUser { enabled: Some(enabled), ..ChangeUser::default() };
    let user = session.client().change_user(name, &change).await?;
    output::show(output, &user, |u| show::admin::users(std::slice::from_ref(u)))
}
