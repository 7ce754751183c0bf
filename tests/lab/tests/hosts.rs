//! The lab keeps its own promises.

use stint_lab::{Lab, LabError, PATIENCE as BOUND, leftovers};

type Tested = Result<(), LabError>;

#[test]
fn a_host_boots_and_each_user_logs_in_with_a_key() -> Tested {
    let lab = Lab::new()?;
    let host = lab.host("web-01")?;
    for user in stint_lab::USERS {
        let login = host.ssh(user, "id -un; hostname")?;
        assert_eq!(
            (login.status, login.stdout.as_str()),
            (0, format!("{user}\nweb-01\n").as_str()),
            "{login}"
        );
    }
    let wrong = host.ssh_with("alice", &["-o", "PubkeyAuthentication=no"], "true")?;
    assert_eq!(wrong.status, 255, "{wrong}");
    let state = host.exec(&["systemctl", "is-system-running"])?;
    assert_eq!(state.stdout.trim(), "running", "{}", host.diagnosis());
    Ok(())
}

#[test]
fn a_power_cut_ends_everything_and_keeps_the_disk() -> Tested {
    let lab = Lab::new()?;
    let host = lab.host("web-01")?;
    let mut session = host.ssh_session("alice")?;
    session.type_line("echo kept > note; sync; echo re''ady")?;
    session.wait_for("ready", BOUND)?;
    host.sh("echo gone > /run/note")?.check("writing to memory")?;
    host.power_cut()?;
    assert!(host.exec(&["true"]).is_err());
    host.start()?;
    assert_eq!(host.ssh("alice", "cat note")?.stdout, "kept\n");
    assert!(!host.sh("test -e /run/note")?.success());
    Ok(())
}

#[test]
fn a_reboot_and_an_orderly_stop_come_back_on_the_same_disk() -> Tested {
    let lab = Lab::new()?;
    let host = lab.host("web-01")?;
    let boot = host.sh("cat /proc/sys/kernel/random/boot_id; echo 1 >> /root/boots")?.stdout;
    host.reboot()?;
    let rebooted = host.sh("cat /proc/sys/kernel/random/boot_id; echo 1 >> /root/boots")?.stdout;
    assert_ne!(boot, rebooted);
    host.stop()?;
    host.start()?;
    assert_eq!(host.sh("cat /root/boots")?.stdout, "1\n1\n");
    assert!(host.ssh("bob", "true")?.success());
    Ok(())
}

#[test]
fn a_cut_network_stops_packets_and_a_restored_one_lets_the_same_session_go_on() -> Tested {
    let lab = Lab::new()?;
    let host = lab.host("web-01")?;
    let mut session = host.ssh_session("alice")?;
    session.type_line("echo fir''st")?;
    session.wait_for("first", BOUND)?;
    host.cut_network()?;
    let away = host.ssh_with("bob", &["-o", "ConnectTimeout=1"], "true")?;
    assert_eq!(away.status, 255, "{away}");
    host.restore_network()?;
    session.type_line("echo sec''ond")?;
    session.wait_for("second", BOUND)?;
    assert!(session.is_open());
    Ok(())
}

#[test]
fn hosts_and_the_control_side_know_each_other_by_name() -> Tested {
    let lab = Lab::new()?;
    let (web, db) = (lab.host("web-01")?, lab.host("db-01")?);
    let mut listener = lab
        .control_command("chroot")
        .arg(lab.base_dir())
        .args(["nc", "-l", "-k", stint_lab::CONTROL_ADDRESS, "8443"])
        .spawn()
        .map_err(|source| LabError::Start { program: "nc".into(), source })?;
    for host in [&web, &db] {
        stint_lab::until("the control side to answer", BOUND, || {
            host.exec(&["nc", "-z", "broker.lab", "8443"]).is_ok_and(|o| o.success())
        })?;
    }
    let names = lab.control(&["getent", "hosts", "broker.lab", "web-01", "db-01"])?;
    assert_eq!(names.stdout.lines().count(), 3, "{names}");
    let links = lab.control(&["ip", "-br", "link"])?;
    assert!(!links.stdout.contains("eth0"), "the control side must not see the machine's network: {links}");
    listener.kill().and_then(|()| listener.wait()).map_err(LabError::file("nc"))?;
    Ok(())
}

#[test]
fn two_labs_run_at_once_with_hosts_of_one_name() -> Tested {
    let (one, two) = (Lab::new()?, Lab::new()?);
    let (first, second) = (one.host("web-01")?, two.host("web-01")?);
    first.sh("echo one > /root/which")?.check("marking")?;
    assert!(!second.sh("test -e /root/which")?.success());
    assert!(second.ssh("alice", "true")?.success());
    assert!(first.ssh("alice", "true")?.success());
    Ok(())
}

#[test]
fn a_dropped_lab_leaves_nothing_behind() -> Tested {
    let lab = Lab::new()?;
    let id = lab.id().to_owned();
    let host = lab.host("web-01")?;
    let session = host.ssh_session("alice")?;
    session.wait_for("alice@web-01", BOUND)?;
    assert!(!leftovers(&id)?.is_empty(), "the check itself must see a living lab");
    drop((session, host, lab));
    assert_eq!(leftovers(&id)?, Vec::<String>::new());
    Ok(())
}
