//! A managed account without a grant gets in nowhere; the ways back in stay open.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

#[test]
fn a_managed_user_without_a_grant_is_denied_on_sshd_login_su_and_sudo() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;

    let sshd = host.ssh("bob", "true")?;
    assert_eq!(sshd.status, 255, "{sshd}");
    assert!(sshd.text().contains("you have no grant on this host"), "{sshd}");

    // A correct password does not help: the gate is in the account phase.
    let mut login = host.terminal("/bin/login bob")?;
    login.wait_for("Password:", BOUND)?;
    login.type_line("bob")?;
    login.wait_for("you have no grant on this host", BOUND)?;
    login.wait_closed(BOUND)?;
    assert!(!login.heard().contains("bob@web-01"), "{}", login.heard());

    let mut su = host.terminal("runuser -u bob -- su carol -c id")?;
    su.wait_for("Password:", BOUND)?;
    su.type_line("carol")?;
    su.wait_for("no grant", BOUND)?;
    su.wait_closed(BOUND)?;
    assert!(!su.heard().contains("uid=1003"), "{}", su.heard());

    host.sh("printf 'bob ALL=(ALL) NOPASSWD: ALL\\n' > /etc/sudoers.d/standing && chmod 440 /etc/sudoers.d/standing")?;
    let sudo = host.sh("runuser -u bob -- sudo -n id")?;
    assert_ne!(sudo.status, 0, "{sudo}");
    assert!(sudo.text().contains("no grant"), "{sudo}");

    let cron = host.sh("pamtester cron bob acct_mgmt; pamtester atd bob acct_mgmt")?;
    assert!(!cron.text().contains("account management done"), "{cron}");
    Ok(())
}

#[test]
fn root_on_the_console_and_the_break_glass_account_get_in_throughout() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let ways_in = || -> Tested {
        let mut console = host.terminal("/bin/login root")?;
        console.wait_for("Password:", BOUND)?;
        console.type_line("root")?;
        console.wait_for("root@web-01", BOUND)?;
        console.type_line("exit")?;
        console.wait_closed(BOUND)?;
        let rescue = host.ssh("rescue", "id -un")?;
        assert_eq!(rescue.stdout, "rescue\n", "{rescue}");
        let su = host.sh("su - alice -c 'id -un'")?;
        assert!(su.stdout.contains("alice"), "root's su: {su}");
        Ok(())
    };
    ways_in()?;
    host.sh("systemctl stop stint-warden.socket stint-warden-courier.socket stint-warden-sudo.socket stint-warden stint-courier")?
        .check("stopping stint")?;
    ways_in()?;
    host.sh("rm -rf /var/lib/stint/gate")?.check("removing the gate")?;
    ways_in()?;
    assert_eq!(host.ssh("alice", "true")?.status, 255, "without a gate nobody managed gets in");
    Ok(())
}

#[test]
fn remote_root_is_denied_unless_host_toml_lists_it() -> Tested {
    let fleet = Fleet::new()?;
    let root = fleet.host.ssh("root", "true")?;
    assert_eq!(root.status, 255, "{root}");
    fleet
        .host
        .sh("sed -i 's/^\\[managed\\]/[managed]\\nremote_root = true/' /etc/stint/host.toml")?
        .check("editing")?;
    let root = fleet.host.ssh("root", "id -un")?;
    assert_eq!(root.stdout, "root\n", "{root}");
    Ok(())
}
