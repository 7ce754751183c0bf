//! The lab's promises for a host with a kernel and a clock of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stint_lab::{Host, Lab, LabError, leftovers};

type Tested = Result<(), LabError>;
const BOUND: Duration = Duration::from_mins(3);

fn seconds(text: &str) -> u64 {
    text.trim().parse().unwrap_or_default()
}

fn boot_of(host: &Host) -> Result<String, LabError> {
    Ok(host.sh("cat /proc/sys/kernel/random/boot_id")?.check("asking for the boot")?.stdout)
}

#[test]
fn a_virtual_machine_has_a_kernel_a_clock_and_a_disk_of_its_own_and_is_gone_with_its_lab() -> Tested {
    let lab = Lab::new()?;
    let id = lab.id().to_owned();
    let host = lab.virtual_host("web-01")?;
    for user in stint_lab::USERS {
        let login = host.ssh(user, "id -un; hostname")?;
        assert_eq!(login.stdout, format!("{user}\nweb-01\n"), "{login}");
    }
    let state = host.exec(&["systemctl", "is-system-running"])?;
    assert_eq!(state.stdout.trim(), "running", "{}", host.diagnosis());
    let failed = host.sh("echo out; echo err >&2; exit 7")?;
    assert_eq!((failed.status, &*failed.stdout, &*failed.stderr), (7, "out\n", "err\n"));

    let bytes: Vec<u8> = (0..=255).cycle().take(700_000).collect();
    host.write("/root/bytes", &bytes)?;
    assert_eq!(
        host.sh("stat -c %s /root/bytes; tail -c1 /root/bytes | od -An -tu1")?.stdout,
        "700000\n  95\n"
    );

    host.sh("date -s 'next year' && modprobe dummy && echo kept > /root/note && sync")?
        .check("making it its own")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    assert!(seconds(&host.sh("date +%s")?.stdout) > now + 86_400 * 300);
    assert!(host.ssh("alice", "grep -w ^dummy /proc/modules")?.success());

    let mut session = host.ssh_session("alice")?;
    session.type_line("echo re''ady")?;
    session.wait_for("ready", BOUND)?;
    let before = boot_of(&host)?;
    host.power_cut()?;
    assert!(host.exec(&["true"]).is_err());
    host.start()?;
    assert_ne!(boot_of(&host)?, before);
    assert_eq!(host.sh("cat /root/note; date -s '2001-01-01' > /dev/null")?.stdout, "kept\n");

    let before = boot_of(&host)?;
    host.reboot()?;
    assert_ne!(boot_of(&host)?, before);
    host.stop()?;
    host.start()?;
    assert!(host.ssh("bob", "true")?.success());
    drop((session, host, lab));
    assert_eq!(leftovers(&id)?, Vec::<String>::new());
    Ok(())
}
