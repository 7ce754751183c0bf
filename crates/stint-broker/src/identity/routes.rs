//! Signing in and out.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use stint_api::people::{ChangePassword, Me, SignIn, SignedIn};
use zeroize::Zeroizing;

use crate::error::{Outcome, Problem};
use crate::identity::{Caller, Role, lockout::Lockout, password, session, store, totp, users};
use crate::lock;
use crate::server::{App, Body};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/session", post(sign_in).delete(sign_out))
        .route("/v1/session/renew", post(renew))
        .route("/v1/me", get(me))
        .route("/v1/me/password", post(change_password))
        .merge(users::routes())
}

/// Signs in.
#[utoipa::path(post, path = "/v1/session", request_body = SignIn, responses((status = 200, body = SignedIn)))]
pub(crate) async fn sign_in(State(app): State<App>, Body(attempt): Body<SignIn>) -> Outcome<Json<SignedIn>> {
    let found = store::find(&mut *app.db.read().await?, &attempt.user).await?;
    let now = app.clock.now();
    if let Some(person) = &found {
        refuse_waiting(person, now.secs())?;
    }
    let stored = found.as_ref().map(|p| p.password.clone());
    let password_is_right = password::verify(Zeroizing::new(attempt.password), stored).await?;
    let wrong = || {
        Problem::unauthenticated(
            "the user, the password or the code is wrong, or the code was used before",
            "try again with the next code that your device shows",
        )
    };
    let Some(person) = found else { return Err(wrong()) };

    let mut change = app.db.change(now).await?;
    // Read again in its turn: attempts at the same time must not share one code, nor slip under the lockout.
    let person = store::get(change.conn(), &person.name).await?;
    refuse_waiting(&person, now.secs())?;
    let step = totp::step_of(&person.totp_secret, &attempt.totp, now.secs(), person.totp_step)?;
    let right = match step {
        Some(step) if password_is_right && person.enabled => {
            store::take_step(change.conn(), &person.name, step).await?
        }
        _ => false,
    };
    if !right {
        let lockout = person.lockout().failed(now.secs());
        store::set_lockout(change.conn(), &person.name, lockout).await?;
        let detail = json!({ "failures": lockout.failures, "wait_until": lockout.until });
        change.record(&person.name, "session.refused", &person.name, detail).await?;
        change.commit().await?;
        return Err(wrong());
    }
    lock::refuse_locked_person(change.conn(), &person.name, now).await?;
    store::set_lockout(change.conn(), &person.name, Lockout::default()).await?;
    let signed_in = session::open(change.conn(), &person.name, now.secs(), None).await?;
    change.record(&person.name, "session.opened", &person.name, json!({})).await?;
    change.commit().await?;
    Ok(Json(signed_in))
}

fn refuse_waiting(person: &store::Person, now: i64) -> Outcome<()> {
    match person.lockout().wait(now) {
        None => Ok(()),
        Some(seconds) => Err(Problem::denied(
            format!("too many wrong attempts to sign in as {}", person.name),
            format!("wait {seconds} s, then try again; an administrator can reset the user"),
        )),
    }
}

/// A new token for the one that came; the old one is void.
#[utoipa::path(post, path = "/v1/session/renew", responses((status = 200, body = SignedIn)))]
pub(crate) async fn renew(State(app): State<App>, caller: Caller) -> Outcome<Json<SignedIn>> {
    let mut change = app.db.change(app.clock.now()).await?;
    let now = change.now.secs();
    let signed_in = session::renew(change.conn(), &caller.token_hash, now).await?;
    change.record(&caller.name, "session.renewed", &caller.name, json!({})).await?;
    change.commit().await?;
    Ok(Json(signed_in))
}

/// Signs out.
#[utoipa::path(delete, path = "/v1/session", responses((status = 204)))]
pub(crate) async fn sign_out(State(app): State<App>, caller: Caller) -> Outcome<StatusCode> {
    let mut change = app.db.change(app.clock.now()).await?;
    session::close(change.conn(), &caller.token_hash).await?;
    change.record(&caller.name, "session.closed", &caller.name, json!({})).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is signed in.
#[utoipa::path(get, path = "/v1/me", responses((status = 200, body = Me)))]
pub(crate) async fn me(State(app): State<App>, caller: Caller) -> Json<Me> {
    Json(Me {
        principal: caller.name,
        roles: caller.roles.iter().map(|r: &Role| r.word().to_owned()).collect(),
        fleet: app.config.fleet.to_string(),
    })
}

/// Changes one's own password. Other sessions of the same person end.
#[utoipa::path(post, path = "/v1/me/password", request_body = ChangePassword, responses((status = 204)))]
pub(crate) async fn change_password(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<ChangePassword>,
) -> Outcome<StatusCode> {
    password::check(&asked.new)?;
    let person = store::get(&mut *app.db.read().await?, &caller.name).await?;
    refuse_waiting(&person, app.clock.now().secs())?;
    let right = password::verify(Zeroizing::new(asked.old), Some(person.password.clone())).await?;
    let hash = password::hash(Zeroizing::new(asked.new)).await?;
    let mut change = app.db.change(app.clock.now()).await?;
    if !right {
        let lockout = store::get(change.conn(), &caller.name).await?.lockout().failed(change.now.secs());
        store::set_lockout(change.conn(), &caller.name, lockout).await?;
        change.record(&caller.name, "session.refused", &caller.name, json!({ "at": "password" })).await?;
        change.commit().await?;
        return Err(Problem::denied("the old password is wrong", "try again"));
    }
    store::set_password(change.conn(), &caller.name, &hash).await?;
    session::close_all(change.conn(), &caller.name, Some(&caller.token_hash)).await?;
    change.record(&caller.name, "user.password_changed", &caller.name, json!({})).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
