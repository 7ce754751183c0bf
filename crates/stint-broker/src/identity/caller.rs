//! The person who makes a call, from the bearer token.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::error::{Outcome, Problem};
use crate::identity::{Role, session, store};
use crate::lock;
use crate::random;
use crate::server::App;
use crate::store::Change;

/// The signed-in person who makes this call.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Their name.
    pub name: String,
    /// Their local account on hosts.
    pub account: String,
    /// Their roles.
    pub roles: Vec<Role>,
    /// The hash of the token that they came with.
    pub token_hash: String,
}

impl Caller {
    /// Whether they have a role.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
    /// Whether they have one of some roles.
    pub fn is_any(&self, roles: &[Role]) -> bool {
        roles.iter().any(|r| self.is(*r))
    }
    /// Begins a change by this person, who must still be signed in when its turn comes: a body may come slowly, and meanwhile they
    /// were signed out, locked, disabled or given other roles, all of which end their sessions.
    pub async fn change(&self, app: &App) -> Outcome<Change> {
        let mut change = app.db.change(app.clock.now()).await?;
        let now = change.now.secs();
        session::person_of(change.conn(), &self.token_hash, now).await?;
        Ok(change)
    }
    /// Refuses who has none of some roles.
    pub fn need(&self, roles: &[Role], what: &str) -> Outcome<()> {
        if self.is_any(roles) {
            return Ok(());
        }
        let words: Vec<_> = roles.iter().map(|r| r.word()).collect();
        Err(Problem::denied(
            format!("{} may not {what}: it takes the role {}", self.name, words.join(" or ")),
            "ask an administrator for the role, or somebody who has it",
        ))
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Outcome<Self> {
        let token = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.strip_prefix("Bearer "))
            .ok_or_else(|| Problem::unauthenticated("you are not signed in", "stint login"))?;
        let token_hash = random::hash_of(token.trim());
        let conn = &mut *app.db.read().await?;
        let now = app.clock.now();
        let name = session::person_of(conn, &token_hash, now.secs()).await?;
        let person = store::get(conn, &name).await?;
        if !person.enabled {
            return Err(Problem::denied(format!("{name} may not sign in any more"), "ask an administrator"));
        }
        lock::refuse_locked_person(conn, &name, now).await?;
        Ok(Self { roles: person.roles(), account: person.account, name, token_hash })
    }
}
