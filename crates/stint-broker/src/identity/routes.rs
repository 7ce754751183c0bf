//! Signing in and out.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use stint_api::people::{ChangePassword, Me, SignIn, SignedIn};
use stint_grant::ids::Principal;
use zeroize::Zeroizing;

use crate::error::{Outcome, Problem};
use crate::identity::{Caller, Role, lockout::Lockout, password, session, store, totp, users};
use crate::lock;
use crate::server::{App, Body, PeerAddress};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/session", post(sign_in).delete(sign_out))
        .route("/v1/session/renew", post(renew))
        .route("/v1/me", get(me))
        .route("/v1/me/password", post(change_password))
        .merge(users::routes())
}

/// Signs in. A wrong password makes one's own address wait; a wrong code after the right password makes the person wait, whoever tries.
#[utoipa::path(post, path = "/v1/session", request_body = SignIn, responses((status = 200, body = SignedIn)))]
pub(crate) async fn sign_in(
    State(app): State<App>,
    PeerAddress(from): PeerAddress,
    Body(attempt): Body<SignIn>,
) -> Outcome<Json<SignedIn>> {
    let wrong = || {
        Problem::unauthenticated(
            "the user, the password or the code is wrong, or the code was used before",
            "try again with the next code that your device shows",
        )
    };
    // What is no name cannot be anybody's: no need to remember it.
    let Ok(name) = Principal::new(attempt.user.as_str()) else { return Err(wrong()) };
    // Before the attempt is counted: who is turned away for want of room has not failed.
    let place = app.places.signing_in(from.ip()).ok_or_else(password::busy)?;
    let ticket = password::queue()?;
    let now = app.clock.now();
    app.attempts
        .begin(name.as_str(), from.ip(), now.secs())
        .map_err(|seconds| waiting(name.as_str(), seconds))?;
    let found = store::find(&mut *app.db.read().await?, name.as_str()).await?;
    let stored = found.as_ref().map(|p| p.password.clone());
    let password_is_right = password::verify(&ticket, Zeroizing::new(attempt.password), stored).await?;
    drop((ticket, place));
    let Some(person) = found else { return Err(wrong()) };
    if !password_is_right {
        // Written down after the answer: how long it takes must not tell that there is such a person.
        tokio::spawn(async move { tell_of_wrong_password(&app, &person.name, from).await });
        return Err(wrong());
    }

    let mut change = app.db.change(now).await?;
    // Read again in its turn: attempts at the same time must not share one code, nor slip under the lockout.
    let person = store::get(change.conn(), &person.name).await?;
    refuse_waiting(&person, now.secs())?;
    let step = totp::step_of(&person.totp_secret, &attempt.totp, now.secs(), person.totp_step)?;
    let right = match step {
        Some(step) if person.enabled => store::take_step(change.conn(), &person.name, step).await?,
        _ => false,
    };
    if !right {
        let lockout = person.lockout().failed(now.secs());
        store::set_lockout(change.conn(), &person.name, lockout).await?;
        let detail = json!({ "at": "code", "from": from.ip(), "failures": lockout.failures, "wait_until": lockout.until });
        change.record(&person.name, "session.refused", &person.name, detail).await?;
        change.commit().await?;
        return Err(wrong());
    }
    lock::refuse_locked_person(change.conn(), &person.name, now).await?;
    store::set_lockout(change.conn(), &person.name, Lockout::default()).await?;
    let signed_in = session::open(change.conn(), &person.name, now.secs(), None).await?;
    change.record(&person.name, "session.opened", &person.name, json!({})).await?;
    change.commit().await?;
    app.attempts.forgive(name.as_str(), from.ip());
    Ok(Json(signed_in))
}

async fn tell_of_wrong_password(app: &App, name: &str, from: SocketAddr) {
    let told = async {
        let mut change = app.db.change(app.clock.now()).await?;
        let detail = json!({ "at": "password", "from": from.ip() });
        change.record(name, "session.refused", name, detail).await?;
        change.commit().await
    };
    if let Err(problem) = told.await {
        tracing::warn!(name, %from, %problem, "a wrong password could not be written down");
    }
}

fn waiting(name: &str, seconds: i64) -> Problem {
    Problem::denied(
        format!("too many wrong attempts to sign in as {name}"),
        format!("wait {seconds} s, then try again; an administrator can reset the user"),
    )
}

fn refuse_waiting(person: &store::Person, now: i64) -> Outcome<()> {
    person.lockout().wait(now).map_or(Ok(()), |seconds| Err(waiting(&person.name, seconds)))
}

/// A new token for the one that came; the old one is void.
#[utoipa::path(post, path = "/v1/session/renew", responses((status = 200, body = SignedIn)))]
pub(crate) async fn renew(State(app): State<App>, caller: Caller) -> Outcome<Json<SignedIn>> {
    let mut change = caller.change(&app).await?;
    let now = change.now.secs();
    let signed_in = session::renew(change.conn(), &caller.token_hash, now).await?;
    change.record(&caller.name, "session.renewed", &caller.name, json!({})).await?;
    change.commit().await?;
    Ok(Json(signed_in))
}

/// Signs out.
#[utoipa::path(delete, path = "/v1/session", responses((status = 204)))]
pub(crate) async fn sign_out(State(app): State<App>, caller: Caller) -> Outcome<StatusCode> {
    let mut change = caller.change(&app).await?;
    session::close(change.conn(), &caller.token_hash).await?;
    change.record(&caller.name, "session.closed", &caller.name, json!({})).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is signed in.
#[utoipa::path(get, path = "/v1/me", responses((status = 200, body = Me)))]
pub(crate) async fn me(State(app): State<App>, caller: Caller) -> Json<Me> {
    Json(Me {
        account: caller.account.clone(),
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
    let ticket = password::queue()?;
    let right = password::verify(&ticket, Zeroizing::new(asked.old), Some(person.password.clone())).await?;
    let hash = password::hash(&ticket, Zeroizing::new(asked.new)).await?;
    drop(ticket);
    let mut change = caller.change(&app).await?;
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
