//! Signing in and out.

use serde::Serialize;
use stint_api::people::{ChangePassword, SignIn};
use stint_grant::time::UnixTime;

use crate::args::{LoginArgs, PasswordArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::profile;
use crate::prompt;
use crate::session::{Session, connect, now};
use crate::show::{Facts, safe, when};
use crate::token::{Store, StoreKind, Stored};
use crate::trust;

/// What `whoami` and `login` tell.
#[derive(Serialize)]
struct Who {
    principal: String,
    roles: Vec<String>,
    fleet: String,
    broker: String,
    session_ends_at: i64,
    token_store: StoreKind,
    root_pinned: bool,
}

fn words(who: &Who) -> String {
    let store = match who.token_store {
        StoreKind::Keyring => "in the kernel's keyring",
        StoreKind::File => "in a file",
    };
    let root = if who.root_pinned {
        "pinned: roots and roster are verified here"
    } else {
        "not pinned: stint login --root-pin HEX"
    };
    let facts = Facts::new()
        .add("roles", who.roles.iter().map(|r| safe(r)).collect::<Vec<_>>().join(", "))
        .add("fleet", safe(&who.fleet))
        .add("broker", safe(&who.broker))
        .add("session", format!("ends {}", when(who.session_ends_at, now())))
        .add("token", store)
        .add("root", root)
        .text();
    format!("{}\n{facts}", safe(&who.principal))
}

async fn who(session: &Session) -> Outcome<Who> {
    let me = session.client().me().await?;
    Ok(Who {
        principal: me.principal,
        roles: me.roles,
        fleet: me.fleet,
        broker: session.profile.broker.clone(),
        session_ends_at: session.ends_at(),
        token_store: session.kept_in,
        root_pinned: session.profile.root_pin.is_some(),
    })
}

pub(super) async fn login(args: &LoginArgs, output: Output) -> Outcome {
    let profile = profile::merge(profile::load()?, args)?;
    let client = connect(&profile)?;
    let question = format!("Password of {} at {}: ", profile.user, profile.broker);
    let password = prompt::secret(&question, args.password_file.as_deref(), "--password-file")?;
    let totp = match &args.totp {
        Some(code) => code.clone().into(),
        None => prompt::secret("Code (6 digits): ", None, "--totp")?,
    };
    let who = SignIn {
        user: profile.user.to_string(),
        password: password.to_string(),
        totp: totp.chars().filter(|c| !c.is_whitespace()).collect(),
    };
    let signed_in = client.sign_in(&who).await.map_err(|e| match Failure::from(e) {
        // "Sign in: stint login" would help nobody here.
        f if f.exit == Exit::NotSignedIn => {
            Failure { next: Some("try again with the next code".to_owned()), ..f }
        }
        other => other,
    })?;
    if signed_in.principal != profile.user.as_str() {
        return Err(Failure::unverified(format!(
            "the broker signed in {}, not {}",
            safe(&signed_in.principal),
            profile.user
        )));
    }
    if let Some(pin) = &profile.root_pin {
        // Before anything is kept: a broker of another fleet is found here, not at the first review.
        let chain = client.clone().with_token(&signed_in.token).roots().await?;
        trust::walk(&chain.envelopes, pin, UnixTime(now()))?;
    }
    profile::save(&profile)?;
    Store::of(&profile)?.save(&Stored::new(&signed_in, now()))?;
    whoami(output).await
}

pub(super) async fn logout(output: Output) -> Outcome {
    match Session::open().await {
        Ok(session) => session.close().await?,
        Err(failure) if failure.exit == Exit::NotSignedIn => {
            if let Some(profile) = profile::load()? {
                Store::of(&profile)?.forget()?;
            }
        }
        Err(failure) => return Err(failure),
    }
    output::show(output, &serde_json::json!({ "signed_in": false }), |_| "signed out\n".to_owned())
}

pub(super) async fn whoami(output: Output) -> Outcome {
    let session = Session::open().await?;
    output::show(output, &who(&session).await?, words)
}

pub(super) async fn password(args: &PasswordArgs) -> Outcome {
    let session = Session::open().await?;
    let old = prompt::secret("Old password: ", args.old_file.as_deref(), "--old-file")?;
    let new = prompt::secret("New password: ", args.new_file.as_deref(), "--new-file")?;
    if args.new_file.is_none() && *prompt::secret("New password again: ", None, "--new-file")? != *new {
        return Err(Failure::usage("the two new passwords differ; nothing was changed"));
    }
    let change = ChangePassword { old: old.to_string(), new: new.to_string() };
    session.client().change_password(&change).await?;
    output::note("the password was changed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_signed_in_is_told_with_what_is_not_pinned() {
        let who = Who {
            principal: "alice".into(),
            roles: vec!["requester".into(), "reviewer".into()],
            fleet: "demo".into(),
            broker: "https://b:7443".into(),
            session_ends_at: 0,
            token_store: StoreKind::File,
            root_pinned: false,
        };
        let text = words(&who);
        assert!(text.starts_with("alice\n  roles    requester, reviewer\n  fleet    demo\n"), "{text}");
        assert!(text.ends_with("  root     not pinned: stint login --root-pin HEX\n"), "{text}");
    }
}
