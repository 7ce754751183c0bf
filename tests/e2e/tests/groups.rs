//! Groups that a grant gives: there in the window, gone after it, and what stood before stays.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST, Options, kill_warden};
use stint_lab::{Host, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

/// Whether alice is in adm by the host's own files. The two are written one after the other: between, they differ.
fn is_in(host: &Host) -> Result<bool, E2eError> {
    let said = host.sh("getent group adm; getent gshadow adm || grep ^adm: /etc/gshadow")?.stdout;
    let members: Vec<bool> = said.lines().map(|line| line.contains("alice")).collect();
    match members[..] {
        [in_group, in_gshadow] if in_group == in_gshadow => Ok(in_group),
        _ => Err(E2eError::answer("the same members in group and gshadow", said)),
    }
}

fn wait_until_out(host: &Host) -> Tested {
    until("alice to be out of adm", BOUND, || is_in(host).is_ok_and(|is_in| !is_in))?;
    Ok(())
}

fn wait_for_record(fleet: &Fleet, words: &str) -> Tested {
    until(&format!("a record with {words:?}"), BOUND, || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", HOST]);
        told.is_ok_and(|told| told.stdout.contains(words))
    })?;
    Ok(())
}

fn wait_for_end(fleet: &Fleet, id: &str) -> Tested {
    Ok(stint_e2e::wait_for_end(fleet.end_of(id)?)?)
}

#[test]
fn a_group_is_there_in_the_window_and_not_after_it() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    assert!(!is_in(host)?);
    let id = fleet.grant("web-logs", &fleet.window(15))?;
    // `activate --wait` came back: the group is there for the first login.
    let groups = host.ssh("alice", "id -nG")?;
    assert!(groups.stdout.split_whitespace().any(|group| group == "adm"), "{groups}");
    let mut session = host.ssh_session("alice")?;
    session.type_line("setsid sh -c 'trap \"\" TERM HUP; sleep 600' & echo start''ed")?;
    session.wait_for("started", BOUND)?;
    wait_for_end(&fleet, &id)?;
    session.wait_closed(BOUND)?;
    wait_until_out(host)?;
    wait_for_record(&fleet, &format!("alice put into group adm (grant {id})"))?;
    wait_for_record(&fleet, &format!("alice taken out of group adm (grant {id})"))?;
    let left = host.sh("grep -l '^Groups:.*\\b4\\b' /proc/[0-9]*/status 2>/dev/null | wc -l")?;
    assert_eq!(left.stdout.trim(), "0", "a process still holds the group");
    // What took it back may be on its way out yet.
    until("no unit to be left, and none to have failed", BOUND, || {
        host.sh("systemctl --failed --no-legend; systemctl list-units 'stint-accounts@*' --all --no-legend")
            .is_ok_and(|left| left.success() && left.stdout.trim().is_empty())
    })?;
    Ok(())
}

#[test]
fn a_membership_that_stood_before_stays_and_a_revocation_takes_back_ours_at_once() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    host.sh("gpasswd -a alice adm")?.check("a standing membership")?;
    let id = fleet.grant("web-logs", "5m")?;
    fleet.carol.run(&["grant", "revoke", &id, "--reason", "enough", "--wait", "--timeout=3m"])?;
    assert!(is_in(host)?, "it stood before the window");

    host.sh("gpasswd -d alice adm")?.check("taking it away")?;
    let id = fleet.grant("web-logs", "5m")?;
    assert!(is_in(host)?);
    // Whoever waits for a revocation waits for this too.
    fleet.carol.run(&["grant", "revoke", &id, "--reason", "enough", "--wait", "--timeout=3m"])?;
    assert!(!is_in(host)?, "acknowledged, and still there");
    Ok(())
}

#[test]
fn after_a_power_cut_in_the_window_the_group_is_taken_back_without_the_broker() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("web-logs", &fleet.window(10))?;
    assert!(is_in(host)?);
    host.power_cut()?;
    wait_for_end(&fleet, &id)?;
    host.cut_network()?;
    host.start()?;
    wait_until_out(host)?;
    host.restore_network()?;
    Ok(())
}

#[test]
fn a_killed_warden_takes_back_what_it_gave_and_gives_again_what_somebody_took_out() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("web-logs", &fleet.window(20))?;
    host.sh("gpasswd -d alice adm")?.check("taking it out")?;
    until("alice to be in adm again", BOUND, || is_in(host).unwrap_or(false))?;
    kill_warden(host)?;
    wait_for_end(&fleet, &id)?;
    wait_until_out(host)?;
    Ok(())
}

#[test]
fn a_group_that_sudoers_gives_rights_to_is_refused_with_its_cause() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    host.sh("printf '%%adm ALL = (root) NOPASSWD: /usr/bin/id\\n' > /etc/sudoers.d/adm && chmod 440 /etc/sudoers.d/adm")?
        .check("a rule for the group")?;
    let id = fleet.alice.request("web-logs", HOST, "5m")?;
    fleet.bob.approve(&id)?;
    let activated = fleet.alice.stint(&["grant", "activate", &id, "--wait", "--timeout=3m"])?;
    assert!(activated.text().contains("amounts to root"), "{activated}");
    assert!(!is_in(host)?);
    assert_eq!(host.ssh("alice", "true")?.status, 255, "a grant is refused whole");
    Ok(())
}

#[test]
fn a_standing_session_that_took_the_group_in_the_window_ends_with_it_and_an_older_one_goes_on() -> Tested {
    let host_toml = "[managed]\nbreak_glass_uid = 1900\nonly = [{ uid = 1001, services = [\"sudo\"] }]\n\
                     [limits]\nregister_timeout_ms = 5000\n";
    let fleet = Fleet::with(&Options { host_toml: host_toml.into(), ..Options::default() })?;
    let host = &fleet.host;
    let mut before = host.ssh_session("alice")?;
    before.type_line("echo be''fore")?;
    before.wait_for("before", BOUND)?;
    let id = fleet.grant("web-logs", &fleet.window(15))?;
    let mut within = host.ssh_session("alice")?;
    within.type_line("id -nG; echo wi''thin")?;
    let said = within.wait_for("within", BOUND)?;
    assert!(said.contains("adm"), "{said}");
    wait_for_end(&fleet, &id)?;
    within.wait_closed(BOUND)?;
    wait_until_out(host)?;
    before.type_line("echo still ''here")?;
    before.wait_for("still here", BOUND)?;
    Ok(())
}
