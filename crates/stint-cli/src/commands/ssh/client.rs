//! The system's ssh, with the key and its certificate.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use stint_api::grants::CertificateView;
use stint_grant::ids::HostName;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::identity::{ForSsh, Identity};
use crate::exit::{Exit, Failure, Outcome};

/// ssh's own code for an error of its own.
const SSH_FAILED: u8 = 255;

/// Runs ssh to its end.
pub(super) async fn run(
    host: &HostName,
    certificate: &CertificateView,
    identity: &Identity,
    more: &[String],
) -> Outcome<ExitCode> {
    let key = identity.for_ssh()?;
    let proof = ForSsh::in_memory(format!("{}\n", certificate.certificate).as_bytes())?;
    let mut command = Command::new("ssh");
    command.args(arguments(host, &certificate.user, &key.path(), &proof.path())).args(more);
    // What is typed goes to ssh, an interrupt too: this process must outlive it, as it holds the key.
    let waits = [SignalKind::interrupt(), SignalKind::quit()].map(signal);
    let failed = |e: std::io::Error| {
        Failure::new(Exit::Refused, format!("ssh could not be run: {e}")).next("install the OpenSSH client")
    };
    let status = command.status().await.map_err(failed)?;
    drop(waits);
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(SSH_FAILED);
    Ok(ExitCode::from(code))
}

/// Only this key and this certificate are offered; which host keys are known stays as the user's configuration says.
fn arguments(host: &HostName, user: &str, key: &Path, certificate: &Path) -> Vec<OsString> {
    let option = |name: &str, value: &Path| {
        let mut text = OsString::from(format!("{name}="));
        text.push(value);
        ["-o".into(), text]
    };
    let mut arguments = Vec::new();
    arguments.extend(option("IdentityFile", key));
    arguments.extend(option("CertificateFile", certificate));
    arguments.extend(["-o", "IdentitiesOnly=yes", "-l", user, host.as_str()].map(OsString::from));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_given_this_key_and_no_other() {
        let host = "web-01".parse().unwrap();
        let made = arguments(&host, "alice", Path::new("/proc/1/fd/3"), Path::new("/proc/1/fd/4"));
        assert_eq!(
            made,
            [
                "-o",
                "IdentityFile=/proc/1/fd/3",
                "-o",
                "CertificateFile=/proc/1/fd/4",
                "-o",
                "IdentitiesOnly=yes",
                "-l",
                "alice",
                "web-01"
            ]
        );
    }
}
