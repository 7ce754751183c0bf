//! Mistakes are refused with file and line, and nothing is half-applied.

use std::fs;

use stint_e2e::{E2eError, Fleet, HOST, Options};

type Tested = Result<(), E2eError>;

#[test]
fn a_catalog_with_a_relative_command_is_refused_with_file_and_line_and_the_old_one_stays() -> Tested {
    let fleet = Fleet::with(&Options { armed: false, ..Options::default() })?;
    let path = fleet.broker.data.join("catalog/bad.toml");
    let bad = "name = \"bad\"\ndescription = \"Bad\"\nhosts = { names = [\"web-01\"] }\nlogin = {}\n\
               max_window = \"1h\"\n\n[[sudo]]\ncommand = \"systemctl\"\n";
    fs::write(&path, bad).map_err(|source| E2eError::File { path: path.clone(), source })?;
    let checked = fleet.broker.run(&["catalog", "check"])?;
    assert_ne!(checked.status, 0, "{checked}");
    assert!(checked.text().contains("bad.toml, line 8"), "{checked}");

    // A broker with such a catalog does not start.
    fleet.broker.stop()?;
    let served = fleet.broker.run(&["serve"])?;
    assert_ne!(served.status, 0, "{served}");
    assert!(served.text().contains("bad.toml, line 8"), "{served}");
    Ok(())
}

#[test]
fn a_host_toml_with_an_unknown_field_is_refused_with_its_line_and_the_strict_defaults_hold() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    host.sh("printf '[ceiling]\\nfull_rot = true\\n' > /etc/stint/host.toml")?.check("writing host.toml")?;
    let checked = host.exec(&["stintd", "check-config"])?;
    assert_ne!(checked.status, 0, "{checked}");
    assert!(checked.text().contains("line 2"), "{checked}");
    assert_eq!(host.ssh("alice", "true")?.status, 255, "a broken file must not open the gate");
    Ok(())
}

#[test]
fn requests_that_cannot_be_are_refused_at_the_broker() -> Tested {
    let fleet = Fleet::with(&Options { armed: false, ..Options::default() })?;
    let ask = |entitlement: &str, host: &str, reason: &str, length: &str| {
        let args = ["request", "create", entitlement, "--host", host, "--reason", reason, "--for", length];
        fleet.alice.stint(&args)
    };
    for (what, refused) in [
        ("a window longer than the entitlement's", ask("nginx-restart", HOST, "x", "3h")?),
        ("an entitlement that is not there", ask("everything", HOST, "x", "5m")?),
        ("a host that is not there", ask("nginx-restart", "web-99", "x", "5m")?),
        ("an empty reason", ask("nginx-restart", HOST, "", "5m")?),
        ("a reason with a newline", ask("nginx-restart", HOST, "a\nb", "5m")?),
        ("a length without a unit", ask("nginx-restart", HOST, "x", "40")?),
    ] {
        assert_ne!(refused.status, 0, "{what}: {refused}");
        assert!(!refused.stderr.trim().is_empty(), "{what} was refused without a word");
    }
    let list = fleet.alice.json(&["request", "ls"])?;
    assert_eq!(list.as_array().map(Vec::len), Some(0), "nothing may be half-made: {list}");
    Ok(())
}

#[test]
fn a_join_token_enrols_one_host_once() -> Tested {
    let fleet = Fleet::with(&Options { armed: false, ..Options::default() })?;
    let invitation = fleet.admin.json(&["host", "join", "web-02", "--label", "role=web"])?;
    let token = invitation["token"].as_str().unwrap_or_default().to_owned();
    let url = fleet.broker.url();
    let second = fleet.lab.host("web-02")?;
    let third = fleet.lab.host("web-03")?;
    for host in [&second, &third] {
        host.install_deb(&stint_e2e::Packages::find().host)?;
    }
    let enrol = ["stintd", "enroll", "--broker", &url, "--token", &token];
    second.exec(&enrol)?.check("enrolling once")?;
    let again = third.exec(&enrol)?;
    assert_ne!(again.status, 0, "{again}");
    assert!(!third.sh("test -e /var/lib/stint/keys/identity.key")?.success(), "half an enrolment was left");
    Ok(())
}
