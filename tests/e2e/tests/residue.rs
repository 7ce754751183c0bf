//! What a grant leaves behind in files: undone or told, and in the receipt, on a booted host.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST, first_login};
use stint_lab::until;

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

/// Waits for the grant's receipt in the record that the broker holds, and answers it.
fn receipt(fleet: &Fleet, id: &str) -> Result<String, E2eError> {
    let head = format!("receipt of grant {id}");
    let mut found = String::new();
    until(&format!("the receipt of {id}"), BOUND, || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", HOST]);
        let line =
            told.ok().and_then(|told| told.stdout.lines().find(|l| l.contains(&head)).map(str::to_owned));
        found = line.unwrap_or_default();
        !found.is_empty()
    })?;
    Ok(found)
}

fn revoke(fleet: &Fleet, id: &str) -> Tested {
    fleet.carol.run(&["grant", "revoke", id, "--reason", "done", "--wait", "--timeout=3m"])?;
    Ok(())
}

#[test]
fn a_login_s_key_start_up_file_and_crontab_are_put_back_and_the_receipt_says_so() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let prepare = "install -d -m 700 -o alice -g alice /home/alice/.ssh; cd /home/alice/.ssh; echo 'ssh-ed25519 AAAAold alice' > authorized_keys; \
                   chown alice:alice authorized_keys; chmod 640 authorized_keys; sha256sum $PWD/authorized_keys > /root/before; \
                   stat -c '%a %U %G' authorized_keys >> /root/before";
    host.sh(prepare)?.check("what alice has")?;
    let id = fleet.grant("web-login", "10m")?;
    first_login(host, "alice", "true", &id)?;
    let planted = host.ssh(
        "alice",
        "echo 'ssh-ed25519 AAAAevil thief' >> ~/.ssh/authorized_keys; echo 'touch /tmp/evil' > ~/.zshenv; \
         mkdir -p ~/.config/systemd/user; echo '[Timer]' > ~/.config/systemd/user/evil.timer; echo '* * * * * true' | crontab -",
    )?;
    println!("{planted}");
    revoke(&fleet, &id)?;
    let receipt = receipt(&fleet, &id)?;
    println!("{receipt}");
    for words in
        ["put back authorized-keys /home/alice/.ssh/authorized_keys", "/home/alice/.zshenv", "evil.timer"]
    {
        assert!(receipt.contains(words), "{words}: {receipt}");
    }
    let after = "sha256sum /home/alice/.ssh/authorized_keys > /root/after; stat -c '%a %U %G' /home/alice/.ssh/authorized_keys >> /root/after; \
                 diff /root/before /root/after && test ! -e /home/alice/.zshenv && test ! -e /home/alice/.config/systemd/user/evil.timer \
                 && test ! -e /var/spool/cron/crontabs/alice && grep -rq evil /var/lib/stint/quarantine";
    host.sh(after)?.check("the host is as it was, and copies are kept")?;
    fleet.carol.run(&["audit", "verify", "--host", HOST])?;
    Ok(())
}

#[test]
fn after_a_login_that_left_nothing_the_receipt_is_clean() -> Tested {
    let fleet = Fleet::new()?;
    let id = fleet.grant("web-login", "10m")?;
    fleet.host.ssh("alice", "echo work > notes")?.check("work")?;
    revoke(&fleet, &id)?;
    let receipt = receipt(&fleet, &id)?;
    assert!(receipt.contains(": clean;"), "{receipt}");
    let shown = fleet.alice.run(&["grant", "show", &id])?;
    assert!(shown.stdout.contains("web-01: clean"), "{shown}");
    // The broker may know of it before the host's own status, which is written a moment later, does.
    until("the host's status to say so", BOUND, || {
        let status = fleet.host.exec(&["stintd", "status"]);
        status.is_ok_and(|status| status.stdout.contains(&format!("receipt of {id}: clean")))
    })?;
    fleet
        .host
        .sh("test -z \"$(ls /var/lib/stint/warden/baselines /var/lib/stint/warden/sweeps | grep json)\"")?
        .check("nothing of the window is kept once its receipt is recorded")?;
    Ok(())
}

#[test]
fn full_root_s_ways_in_are_closed_the_rest_is_told_and_nothing_is_called_clean() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("web-root", "10m")?;
    first_login(host, "alice", "true", &id)?;
    let plant = "mkdir -p /root/.ssh; echo 'ssh-ed25519 AAAAevil thief' > /root/.ssh/authorized_keys; \
                 echo 'alice ALL = NOPASSWD: ALL' > /etc/sudoers.d/evil; chattr +i /etc/sudoers.d/evil; \
                 echo '* * * * * root true' > /etc/cron.d/evil; cp /bin/bash /home/bob/sh; chmod 4755 /home/bob/sh; \
                 echo '[Service]' > /etc/systemd/system/evil.service; echo 'toor:x:0:0::/root:/bin/sh' >> /etc/passwd; \
                 usermod -aG sudo bob";
    let planted = host.ssh("alice", &format!("sudo -n sh -c \"{plant}\""))?;
    println!("{planted}");
    revoke(&fleet, &id)?;
    let receipt = receipt(&fleet, &id)?;
    println!("{receipt}");
    assert!(receipt.contains("NOT CLEAN") && !receipt.contains(": clean"), "{receipt}");
    for words in [
        "authorized-keys /root/.ssh/authorized_keys",
        "sudoers /etc/sudoers.d/evil",
        "crontabs /etc/cron.d/evil",
        "setuid /home/bob/sh",
        "units /etc/systemd/system/evil.service",
        "account toor was added, with uid 0",
        "bob is in group sudo now",
        "rebuild the host",
    ] {
        assert!(receipt.contains(words), "{words}: {receipt}");
    }
    let gone = "test ! -e /root/.ssh/authorized_keys && test ! -e /etc/sudoers.d/evil && test ! -e /etc/cron.d/evil && test ! -u /home/bob/sh \
                && test -e /etc/systemd/system/evil.service";
    host.sh(gone)?.check("ways in are closed")?;
    Ok(())
}

#[test]
fn a_receipt_is_owed_over_a_killed_warden_and_a_power_cut() -> Tested {
    let fleet = Fleet::new()?;
    let id = fleet.grant("web-login", "10m")?;
    // What is not on disk yet is lost by a power cut, and no receipt is owed.
    first_login(&fleet.host, "alice", "true", &id)?;
    fleet.host.ssh("alice", "echo 'touch /tmp/evil' > ~/.zshenv; sync")?.check("planting")?;
    fleet.host.sh("systemctl kill -s KILL stint-warden.service")?.check("killing the warden")?;
    fleet.host.power_cut()?;
    fleet.host.start()?;
    revoke(&fleet, &id)?;
    let receipt = receipt(&fleet, &id)?;
    assert!(receipt.contains("/home/alice/.zshenv"), "{receipt}");
    assert!(!fleet.host.sh("test -e /home/alice/.zshenv")?.success());
    Ok(())
}
