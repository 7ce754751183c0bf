//! What is kept between calls: which broker, whom to trust, who one is. No secret is in it.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stint_grant::ids::{Principal, Sha256Hex};

use crate::args::LoginArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::token::StoreKind;

/// `config.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// The broker's URL.
    pub(crate) broker: String,
    /// SHA-256 of the broker's CA.
    pub(crate) ca_pin: Sha256Hex,
    /// SHA-256 of the first root: what the broker cannot choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root_pin: Option<Sha256Hex>,
    /// Who signs in.
    pub(crate) user: Principal,
    /// Where the token is kept, if it was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_store: Option<StoreKind>,
}

/// The folder of this program's files: `$XDG_CONFIG_HOME/stint` or `~/.config/stint`.
pub(crate) fn config_dir() -> Outcome<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    set("XDG_CONFIG_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".config")))
        .map(|base| base.join("stint"))
        .ok_or_else(|| {
            Failure::usage("neither XDG_CONFIG_HOME nor HOME says where the profile is").next("set HOME")
        })
}

fn path() -> Outcome<PathBuf> {
    Ok(config_dir()?.join("config.toml"))
}

/// The profile; none before the first sign-in.
pub(crate) fn load() -> Outcome<Option<Profile>> {
    let path = path()?;
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path).map(Some),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::file(&path, &e)),
    }
}

fn parse(text: &str, path: &Path) -> Outcome<Profile> {
    toml::from_str(text).map_err(|e| {
        Failure::usage(format!("{}: {e}", path.display()))
            .next("correct the file, or remove it and sign in with --broker, --ca-pin, --root-pin and --user")
    })
}

/// Writes the profile.
pub(crate) fn save(profile: &Profile) -> Outcome {
    let text = toml::to_string(profile)
        .map_err(|e| Failure::new(Exit::Refused, format!("the profile cannot be written as TOML: {e}")))?;
    write_private(&path()?, text.as_bytes())
}

/// Writes a file that only its owner reads: whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Outcome {
    let fail = |e: std::io::Error| Failure::file(path, &e);
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
    }
    let new = path.with_extension(format!("new-{}", std::process::id()));
    // A leftover of an older process with this number: ours to replace.
    let _ = std::fs::remove_file(&new);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| std::io::Write::write_all(&mut file, bytes))
        .and_then(|()| std::fs::rename(&new, path));
    written.map_err(|e| {
        let _ = std::fs::remove_file(&new);
        fail(e)
    })
}

/// The profile that a sign-in is for: what was given now, before what was kept.
pub(crate) fn merge(kept: Option<Profile>, args: &LoginArgs) -> Outcome<Profile> {
    let missing = |what: &str| {
        Failure::usage(format!("the first sign-in needs {what}"))
            .next("stint login --broker URL --ca-pin HEX --root-pin HEX --user NAME")
    };
    let pin = |text: &Option<String>, what: &str| match text {
        None => Ok(None),
        Some(text) => Sha256Hex::new(text.trim().to_ascii_lowercase()).map(Some).map_err(|e| {
            Failure::usage(format!("{what}: {e}")).next("copy it from what `stint-broker init` printed")
        }),
    };
    let (ca_pin, root_pin) = (pin(&args.ca_pin, "--ca-pin")?, pin(&args.root_pin, "--root-pin")?);
    let user = match &args.user {
        None => None,
        Some(name) => Some(Principal::new(name.as_str()).map_err(|e| Failure::usage(e.to_string()))?),
    };
    // Another broker has another CA and another root: pins of the old one must not be kept for it.
    let same = |kept: &Profile| args.broker.as_ref().is_none_or(|b| *b == kept.broker);
    let pins = kept.as_ref().filter(|kept| same(kept));
    let profile = Profile {
        ca_pin: ca_pin.or_else(|| pins.map(|k| k.ca_pin.clone())).ok_or_else(|| missing("--ca-pin"))?,
        root_pin: root_pin.or_else(|| pins.and_then(|k| k.root_pin.clone())),
        broker: args
            .broker
            .clone()
            .or_else(|| kept.as_ref().map(|k| k.broker.clone()))
            .ok_or_else(|| missing("--broker"))?,
        user: user.or_else(|| kept.as_ref().map(|k| k.user.clone())).ok_or_else(|| missing("--user"))?,
        token_store: args.token_store.or(kept.and_then(|k| k.token_store)),
    };
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn args(broker: Option<&str>, ca_pin: Option<&str>, user: Option<&str>) -> LoginArgs {
        LoginArgs {
            broker: broker.map(str::to_owned),
            ca_pin: ca_pin.map(str::to_owned),
            root_pin: None,
            user: user.map(str::to_owned),
            password_file: None,
            totp: None,
            token_store: None,
        }
    }

    fn kept() -> Profile {
        Profile {
            broker: "https://a:7443".into(),
            ca_pin: Sha256Hex::of(b"ca"),
            root_pin: Some(Sha256Hex::of(b"root")),
            user: Principal::new("alice").unwrap(),
            token_store: None,
        }
    }

    #[test]
    fn the_first_sign_in_says_what_it_needs() {
        let failure = merge(None, &args(Some("https://a"), None, Some("alice"))).unwrap_err();
        assert_eq!(failure.message, "the first sign-in needs --ca-pin");
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn a_later_sign_in_needs_nothing() {
        assert_eq!(merge(Some(kept()), &args(None, None, None)).unwrap(), kept());
    }

    #[test]
    fn the_pins_of_one_broker_are_not_kept_for_another() {
        let failure = merge(Some(kept()), &args(Some("https://b"), None, None)).unwrap_err();
        assert_eq!(failure.message, "the first sign-in needs --ca-pin");
        let pin = Sha256Hex::of(b"b");
        let other = merge(Some(kept()), &args(Some("https://b"), Some(pin.as_str()), None)).unwrap();
        assert_eq!((other.ca_pin, other.root_pin), (pin, None));
    }

    #[test]
    fn a_pin_that_is_no_hash_is_refused() {
        let failure = merge(Some(kept()), &args(None, Some("abc"), None)).unwrap_err();
        assert_eq!(
            failure.message,
            "--ca-pin: sha256 \"abc\" is not allowed: 64 lowercase hexadecimal digits"
        );
    }

    #[test]
    fn a_profile_is_read_as_it_was_written() {
        let text = toml::to_string(&kept()).unwrap();
        assert_eq!(parse(&text, Path::new("config.toml")).unwrap(), kept());
    }

    #[test]
    fn an_unknown_field_is_refused_with_file_and_line() {
        let text = format!("{}passwort = \"x\"\n", toml::to_string(&kept()).unwrap());
        let failure = parse(&text, Path::new("config.toml")).unwrap_err();
        assert!(
            failure.message.starts_with("config.toml: TOML parse error at line 5"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn files_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stint/token");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path().join("stint")).unwrap().count(), 1);
    }
}
