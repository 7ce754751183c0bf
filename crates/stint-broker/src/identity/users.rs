//! Users, managed by administrators.

use axum::extract::{Path, State};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use serde_json::json;
use stint_api::people::{ChangeUser, NewUser, NewUserSecrets, UserView};
use stint_grant::ids::{Principal, UserName};

use crate::catalog;
use crate::error::{Outcome, Problem};
use crate::identity::{Caller, Person, Role, password, roles_from, session, store, totp};
use crate::random;
use crate::server::{App, Body};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/users", get(list).post(add))
        .route("/v1/users/{name}", patch(alter))
        .route("/v1/users/{name}/reset", post(reset))
}

fn view(person: &Person) -> UserView {
    UserView {
        name: person.name.clone(),
        account: person.account.clone(),
        roles: person.roles().iter().map(|r| r.word().to_owned()).collect(),
        enabled: person.enabled,
    }
}

/// Everybody.
#[utoipa::path(get, path = "/v1/users", responses((status = 200, body = Vec<UserView>)))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Outcome<Json<Vec<UserView>>> {
    caller.need(&[Role::Administrator, Role::Security, Role::Auditor], "list users")?;
    let people = store::list(&mut *app.db.read().await?).await?;
    Ok(Json(people.iter().map(view).collect()))
}

/// A new user.
#[utoipa::path(post, path = "/v1/users", request_body = NewUser, responses((status = 200, body = NewUserSecrets)))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewUser>,
) -> Outcome<Json<NewUserSecrets>> {
    caller.need(&[Role::Administrator], "add users")?;
    let name = Principal::new(new.name)?;
    let account = match new.account {
        Some(account) => UserName::new(account)?,
        None => UserName::new(name.as_str()).map_err(|e| {
            Problem::bad_input(format!("{e}: the name is no name of a local account"), "give the account too")
        })?,
    };
    let roles = roles_from(&new.roles)?;
    let (secrets, hash) = fresh_secrets(&app, name.as_str()).await?;
    let mut change = caller.change(&app).await?;
    let added =
        store::add(change.conn(), name.as_str(), account.as_str(), &roles, &hash, &secrets.totp_secret)
            .await?;
    if !added {
        return Err(Problem::conflict(format!("there is a user {name} already"), "choose another name"));
    }
    change
        .record(&caller.name, "user.added", name.as_str(), json!({ "account": account, "roles": new.roles }))
        .await?;
    change.commit().await?;
    Ok(Json(secrets))
}

async fn fresh_secrets(app: &App, name: &str) -> Outcome<(NewUserSecrets, String)> {
    let password = random::password();
    let hash = password::hash(&password::queue()?, password.clone()).await?;
    let totp_secret = totp::new_secret();
    let totp_url = totp::url(&totp_secret, app.config.fleet.as_str(), name)?;
    let secrets =
        NewUserSecrets { name: name.to_owned(), password: password.to_string(), totp_url, totp_secret };
    Ok((secrets, hash))
}

/// Changes a user's account, roles, or leave to sign in. All sessions of the user end, and so does what they hold or asked for and
/// could not ask for any more: all of it, if they are disabled.
#[utoipa::path(patch, path = "/v1/users/{name}", request_body = ChangeUser, responses((status = 200, body = UserView)))]
pub(crate) async fn alter(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(asked): Body<ChangeUser>,
) -> Outcome<Json<UserView>> {
    caller.need(&[Role::Administrator], "change users")?;
    let mut change = caller.change(&app).await?;
    let person = store::get(change.conn(), &name).await?;
    let account = match asked.account {
        Some(account) => UserName::new(account)?.to_string(),
        None => person.account.clone(),
    };
    let roles = match &asked.roles {
        Some(words) => roles_from(words)?,
        None => person.roles(),
    };
    let enabled = asked.enabled.unwrap_or(person.enabled);
    if name == caller.name && !(enabled && roles.contains(&Role::Administrator)) {
        return Err(Problem::conflict(
            "you cannot take away your own administration",
            "let another administrator do it",
        ));
    }
    store::change(change.conn(), &name, &account, &roles, enabled).await?;
    if name != caller.name {
        session::close_all(change.conn(), &name, None).await?;
    }
    let words: Vec<_> = roles.iter().map(|r| r.word()).collect();
    let detail = json!({ "account": account, "roles": words, "enabled": enabled });
    change.record(&caller.name, "user.changed", &name, detail).await?;
    // In the same change: nobody who was disabled holds anything a moment longer.
    catalog::rejudge(&mut change, &app.catalog(), &caller.name, Some(&name)).await?;
    let person = store::get(change.conn(), &name).await?;
    change.commit().await?;
    Ok(Json(view(&person)))
}

/// A new password and TOTP secret for a user who lost theirs. All sessions of the user end.
#[utoipa::path(post, path = "/v1/users/{name}/reset", responses((status = 200, body = NewUserSecrets)))]
pub(crate) async fn reset(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Outcome<Json<NewUserSecrets>> {
    caller.need(&[Role::Administrator], "reset users")?;
    store::get(&mut *app.db.read().await?, &name).await?;
    let (secrets, hash) = fresh_secrets(&app, &name).await?;
    let mut change = caller.change(&app).await?;
    store::get(change.conn(), &name).await?;
    store::set_password(change.conn(), &name, &hash).await?;
    store::set_totp(change.conn(), &name, &secrets.totp_secret).await?;
    session::close_all(change.conn(), &name, None).await?;
    change.record(&caller.name, "user.reset", &name, json!({})).await?;
    change.commit().await?;
    app.attempts.forget(&name);
    Ok(Json(secrets))
}
