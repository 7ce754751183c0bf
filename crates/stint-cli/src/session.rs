//! A signed-in client: the profile, the kept token, and its renewal.

use std::time::SystemTime;

use stint_api::client::{Client, Filter};
use stint_api::tls::PinnedCa;
use stint_grant::dsse::Verified;
use stint_grant::root::Root;
use stint_grant::time::UnixTime;

use crate::exit::{Exit, Failure, Outcome};
use crate::profile::{self, Profile};
use crate::token::{Store, StoreKind, Stored};
use crate::{ids, trust};

/// The wall clock, in unix seconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// A client of the profile's broker, not signed in.
pub(crate) fn connect(profile: &Profile) -> Outcome<Client> {
    let ca = PinnedCa::from_hex(profile.ca_pin.as_str()).map_err(|e| Failure::usage(e.to_string()))?;
    Ok(Client::new(&profile.broker, &ca)?)
}

/// Somebody who is signed in.
pub(crate) struct Session {
    pub(crate) profile: Profile,
    pub(crate) kept_in: StoreKind,
    store: Store,
    stored: Stored,
    client: Client,
}

impl Session {
    /// Takes the kept token, and renews it if half of its time is over.
    pub(crate) async fn open() -> Outcome<Self> {
        let sign_in = |message: &str| Failure::new(Exit::NotSignedIn, message).next("sign in: stint login");
        let profile = profile::load()?.ok_or_else(|| {
            Failure::new(Exit::NotSignedIn, "nobody has signed in here yet")
                .next("stint login --broker URL --ca-pin HEX --root-pin HEX --user NAME")
        })?;
        let store = Store::of(&profile)?;
        let (stored, kept_in) =
            store.load()?.ok_or_else(|| sign_in(&format!("{} is not signed in", profile.user)))?;
        let client = connect(&profile)?.with_token(&stored.token);
        let mut session = Self { profile, kept_in, store, stored, client };
        session.fresh().await?;
        Ok(session)
    }

    /// The client, with a token that has time left: for calls that follow a long wait.
    pub(crate) async fn fresh(&mut self) -> Outcome<&Client> {
        self.take_from_store()?;
        if self.stored.wants_renewal(now()) && self.stored.expires_at < self.stored.session_ends_at {
            match self.client.renew().await.map_err(Failure::from) {
                Ok(renewed) => {
                    self.stored = Stored::new(&renewed, now());
                    self.kept_in = self.store.save(&self.stored)?;
                    self.client = self.client.clone().with_token(&self.stored.token);
                }
                // Another call of this program renewed it a moment ago, and is about to keep the new one.
                Err(failure) if failure.exit == Exit::NotSignedIn && !self.stored.is_over(now()) => {
                    for _ in 0..10 {
                        if self.take_from_store()? {
                            break;
                        }
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                }
                // An outage, or the end of the session, is told by the call that follows.
                Err(_) => {}
            }
        }
        Ok(&self.client)
    }

    /// Takes the kept token if another call of this program renewed it: the old one is void then.
    fn take_from_store(&mut self) -> Outcome<bool> {
        match self.store.load()? {
            Some((newer, kept_in)) if newer != self.stored => {
                self.client = self.client.clone().with_token(&newer.token);
                (self.stored, self.kept_in) = (newer, kept_in);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The client.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Who is signed in.
    pub(crate) fn principal(&self) -> &str {
        &self.stored.principal
    }

    /// When the session ends for good (unix seconds).
    pub(crate) fn ends_at(&self) -> i64 {
        self.stored.session_ends_at
    }

    /// Ends the session here and at the broker.
    pub(crate) async fn close(self) -> Outcome {
        let ended = self.client.sign_out().await;
        self.store.forget()?;
        match ended.map_err(Failure::from) {
            Err(failure) if failure.exit != Exit::NotSignedIn => Err(failure),
            _ => Ok(()),
        }
    }

    /// The newest root, walked from the pin; none if no root is pinned.
    pub(crate) async fn pinned_root(&self) -> Outcome<Option<Verified<Root>>> {
        let Some(pin) = &self.profile.root_pin else { return Ok(None) };
        let chain = self.client.roots().await?;
        trust::walk(&chain.envelopes, pin, UnixTime(now())).map(Some)
    }

    /// The newest root, walked from the pin; a failure if no root is pinned.
    pub(crate) async fn root(&self) -> Outcome<Verified<Root>> {
        self.pinned_root().await?.ok_or_else(no_pin)
    }

    /// The newest root and its text, walked from the pin, though it may have ended: to renew it.
    pub(crate) async fn root_to_renew(&self) -> Outcome<(Verified<Root>, String)> {
        let pin = self.profile.root_pin.as_ref().ok_or_else(no_pin)?;
        let mut chain = self.client.roots().await?;
        let newest = trust::walk_at_any_time(&chain.envelopes, pin)?;
        Ok((newest, chain.envelopes.pop().unwrap_or_default()))
    }

    /// The id of the one request that begins as typed.
    pub(crate) async fn request_id(&self, typed: &str) -> Outcome<String> {
        let prefix = ids::normal(typed, "request")?;
        if ids::is_whole(&prefix) {
            return Ok(prefix);
        }
        for all in [false, true] {
            let listed = self.client.requests(&Filter { state: None, all }).await;
            let Some(listed) = unless_not_allowed(listed.map_err(Failure::from), all)? else { break };
            if let Some(id) = ids::unique(&prefix, listed.iter().map(|r| r.id.as_str()), "request")? {
                return Ok(id);
            }
        }
        Err(ids::missing(&prefix, "request"))
    }

    /// The id of the one grant that begins as typed.
    pub(crate) async fn grant_id(&self, typed: &str) -> Outcome<String> {
        let prefix = ids::normal(typed, "grant")?;
        if ids::is_whole(&prefix) {
            return Ok(prefix);
        }
        for all in [false, true] {
            let listed = self.client.grants(&Filter { state: None, all }).await;
            let Some(listed) = unless_not_allowed(listed.map_err(Failure::from), all)? else { break };
            if let Some(id) = ids::unique(&prefix, listed.iter().map(|g| g.id.as_str()), "grant")? {
                return Ok(id);
            }
        }
        Err(ids::missing(&prefix, "grant"))
    }
}

fn no_pin() -> Failure {
    Failure::usage("no root is pinned, so nothing that the fleet's keys signed can be verified")
        .next("stint login --root-pin HEX (printed by `stint-broker init`)")
}

/// Everybody's list is for some roles only: whoever may not see it has seen all that there is for them.
fn unless_not_allowed<T>(listed: Outcome<T>, all: bool) -> Outcome<Option<T>> {
    match listed {
        Err(failure) if all && failure.exit == Exit::Denied => Ok(None),
        other => other.map(Some),
    }
}
