//! For plain `ssh`, and all that builds on it: lines for `~/.ssh/config` that have `stint ssh --prepare` put a key and its certificate
//! where ssh looks.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ssh_key::{Certificate, LineEnding};
use stint_grant::ids::{HostName, UserName};

use super::choose::{self, Next};
use super::identity::Identity;
use super::{certify, mine};
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use crate::session::{Session, now};

/// A certificate that ends sooner is not used for another login.
const LEAST_LEFT: i64 = 60;

/// Where keys and certificates for plain ssh are: memory that nobody else reads, gone at sign-out.
fn folder() -> Outcome<PathBuf> {
    let run = std::env::var_os("XDG_RUNTIME_DIR").filter(|run| Path::new(run).is_absolute());
    let run = run.ok_or_else(|| {
        Failure::usage("XDG_RUNTIME_DIR is not set: there is no private memory to put a key into")
            .next("use `stint ssh HOST`, which needs none")
    })?;
    Ok(PathBuf::from(run).join("stint-ssh"))
}

/// Prints the lines.
pub(crate) async fn print() -> Outcome {
    let session = Session::open().await?;
    let (grants, _) = mine(&session).await?;
    let entitlements = session.client().entitlements().await?;
    let hosts: BTreeSet<HostName> = grants
        .iter()
        .flat_map(|grant| &grant.hosts)
        .chain(entitlements.iter().flat_map(|e| &e.hosts))
        .filter_map(|host| HostName::new(host.as_str()).ok())
        .collect();
    if hosts.is_empty() {
        return Err(Failure::new(Exit::NotFound, "there is no host on which you may request anything")
            .next("see what you may request: stint entitlement ls"));
    }
    let account = session.client().me().await?.account;
    let account = UserName::new(account).map_err(Failure::unverified)?;
    output::write(&text(&hosts, &account, &folder()?))
}

fn text(hosts: &BTreeSet<HostName>, account: &UserName, folder: &Path) -> String {
    let hosts: Vec<_> = hosts.iter().map(HostName::as_str).collect();
    let folder = folder.display();
    format!(
        "# From `stint ssh-config`. First in ~/.ssh/config: ssh takes the first value. Without an active grant it changes nothing.\n\
         Match originalhost {} exec \"stint ssh --prepare %n\"\n    \
         User {account}\n    IdentityFile {folder}/%n\n    CertificateFile {folder}/%n-cert.pub\n    IdentitiesOnly yes\n",
        hosts.join(",")
    )
}

/// Puts key and certificate into place for a login by an active grant. Asks nothing: ssh may have no terminal.
pub(super) async fn prepare(session: &Session, host: &HostName) -> Outcome {
    let (grants, requests) = mine(session).await?;
    let Next::Use(grant) = choose::next(&grants, &requests, host.as_str(), None) else {
        return Err(Failure::new(Exit::Denied, format!("{host}: you have no active grant"))
            .next(format!("get one: stint ssh {host}")));
    };
    let folder = private_folder(folder()?)?;
    let key = folder.join(host.as_str());
    let certificate = folder.join(format!("{host}-cert.pub"));
    if is_good(&certificate, &grant.id) && key.exists() {
        return Ok(());
    }
    let identity = Identity::new()?;
    let answer = certify(session, grant, host, &identity).await?;
    let Identity::Made(private) = &identity else { return Ok(()) };
    let text = private
        .to_openssh(LineEnding::LF)
        .map_err(|e| Failure::new(Exit::Refused, format!("the key cannot be written: {e}")))?;
    // The certificate last, and the old one first away: a key and another key's certificate never stand together.
    let _ = std::fs::remove_file(&certificate);
    write(&key, text.as_bytes())?;
    write(&certificate, format!("{}\n", answer.certificate).as_bytes())
}

/// The folder, the caller's own and closed to others.
fn private_folder(folder: PathBuf) -> Outcome<PathBuf> {
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(Failure::file(&folder, &e)),
        _ => {}
    }
    let found = std::fs::symlink_metadata(&folder).map_err(|e| Failure::file(&folder, &e))?;
    let own = found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw();
    if !own {
        return Err(Failure::usage(format!("{} is not your own folder: remove it", folder.display())));
    }
    std::fs::set_permissions(&folder, Permissions::from_mode(0o700))
        .map_err(|e| Failure::file(&folder, &e))?;
    Ok(folder)
}

/// Whether a certificate of this grant has time left.
fn is_good(path: &Path, grant: &str) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Certificate::from_openssh(text.trim()).is_ok_and(|certificate| {
        let of_grant = certificate.key_id().split(' ').nth(1) == Some(grant);
        of_grant && i64::try_from(certificate.valid_before()).is_ok_and(|end| end > now() + LEAST_LEFT)
    })
}

/// Whole or not at all, and nobody else's to read.
fn write(path: &Path, bytes: &[u8]) -> Outcome {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        std::fs::rename(&temporary, path)
    })();
    written.map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        Failure::file(path, &e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_name_the_hosts_the_account_and_where_the_key_is() {
        let hosts = ["web-01", "db-01"].map(|h| h.parse().unwrap()).into();
        assert_eq!(
            text(&hosts, &"alice".parse().unwrap(), Path::new("/run/user/1000/stint-ssh")),
            "# From `stint ssh-config`. First in ~/.ssh/config: ssh takes the first value. Without an active grant it changes nothing.\n\
             Match originalhost db-01,web-01 exec \"stint ssh --prepare %n\"\n    User alice\n    \
             IdentityFile /run/user/1000/stint-ssh/%n\n    CertificateFile /run/user/1000/stint-ssh/%n-cert.pub\n    \
             IdentitiesOnly yes\n"
        );
    }

    #[test]
    fn the_folder_is_the_caller_s_own_and_closed() {
        let run = tempfile::tempdir().unwrap();
        let folder = run.path().join("stint-ssh");
        DirBuilder::new().mode(0o777).create(&folder).unwrap();
        private_folder(folder.clone()).unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        let link = run.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        private_folder(link).unwrap_err();
    }

    #[test]
    fn a_file_is_replaced_and_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for text in ["one", "other"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
