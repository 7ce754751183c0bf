//! Logins by certificate: only while the grant lives, only with its key, from its address, on its host, and with what it lets be forwarded.

use std::fs;
use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST, Person};
use stint_lab::{Host, Outcome, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = Duration::from_secs(30);

/// What is given to ssh in the lab: its host keys, no configuration of the machine, no prompt.
fn lab_options(fleet: &Fleet) -> Vec<String> {
    let known = format!("UserKnownHostsFile={}", fleet.lab.dir().join("known_hosts").display());
    ["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", &known].map(str::to_owned).to_vec()
}

/// `stint ssh HOST -- OPTIONS LINE`, as one types it.
fn stint_ssh(fleet: &Fleet, person: &Person, host: &str, more: &[&str]) -> Result<Outcome, E2eError> {
    let options = lab_options(fleet);
    let mut args = vec!["ssh", host, "--"];
    args.extend(options.iter().map(String::as_str));
    args.extend(more);
    person.stint(&args)
}

/// No key of the account's own lets it in.
fn without_authorized_keys(host: &Host, user: &str) -> Tested {
    host.sh(&format!("rm -f /etc/ssh/lab-keys/{user} && rm -rf /home/{user}/.ssh"))?.check("removing keys")?;
    Ok(())
}

#[test]
fn a_certificate_alone_lets_its_holder_in_and_nothing_of_it_stands_after_the_end() -> Tested {
    let fleet = Fleet::new()?;
    without_authorized_keys(&fleet.host, "alice")?;
    let id = fleet.grant("web-login", "10m")?;
    let refused = fleet.host.ssh("alice", "true")?;
    assert_eq!(refused.status, 255, "her own key is not known there any more: {refused}");

    let said = stint_ssh(&fleet, &fleet.alice, HOST, &["whoami; exit 7"])?;
    assert_eq!((said.stdout.trim(), said.status), ("alice", 7), "{said}");
    let principals = fleet.host.sh("cat /var/lib/stint/ssh/principals/alice")?.stdout;
    assert!(principals.contains(&format!("stint:{id}@{HOST}")), "{principals}");

    fleet.alice.run(&["grant", "end", &id, "--wait"])?;
    let left = fleet.host.sh("ls -A /var/lib/stint/ssh/principals")?.stdout;
    assert_eq!(left, "");
    Ok(())
}
