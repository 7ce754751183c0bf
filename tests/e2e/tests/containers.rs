//! Containers of podman's that are started inside a window and left behind: as the user, by sudo, and by podman's own service of root's, which
//! is what a container daemon does.
//!
//! The lab's hosts are containers themselves. So podman is told not to keep keys in the kernel, not to count processes (no group controller
//! is handed down) and not to filter devices (`--privileged`: a host may not load programs into the kernel). Where a container's processes
//! are, and who its father is, is as anywhere: scopes of PID 1's or of the user's own manager, made for them by those.

use stint_e2e::{E2eError, Fleet, HOST, Options};
use stint_lab::{Host, PATIENCE, until};

type Tested = Result<(), E2eError>;

/// What podman has to be told here, and a tree for a container, one for root and one for alice: a program and its libraries.
const PREPARE: &str = r#"
printf '[containers]\nkeyring = false\npids_limit = 0\n' > /etc/containers/containers.conf
printf '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n' > /etc/containers/storage.conf
tree() {
    for part in bin dev etc proc run sys tmp var; do mkdir -p "$1/$part"; done
    cp /bin/sleep "$1/bin/"
    for library in $(ldd /bin/sleep | grep -o '/[^ ]*'); do cp -L --parents "$library" "$1/"; done
}
tree /srv/tree && tree /home/alice/tree && chown -R alice: /home/alice/tree && systemctl restart podman.socket
"#;
const RUN: &str = "run -d --restart=always --network=host --log-driver=none";

fn fleet() -> Result<Fleet, E2eError> {
    let fleet = Fleet::with(&Options { packages: &["crun", "podman", "uidmap"], ..Options::default() })?;
    fleet.host.sh(PREPARE)?.check("making the host ready for containers")?;
    Ok(fleet)
}

/// Starts a container of alice's, and waits until its program runs.
fn starts(host: &Host, podman: &str, tree: &str, program: &str) -> Tested {
    let started = host.ssh("alice", &format!("{podman} --rootfs {tree} /bin/{program}"))?;
    until(&format!("{program} to run: {started}"), PATIENCE, || runs(host, program))?;
    Ok(())
}

fn runs(host: &Host, program: &str) -> bool {
    host.sh(&format!("pgrep -xf '/bin/{program}'")).is_ok_and(|said| said.success())
}

/// Where a program runs: its group.
fn group(host: &Host, program: &str) -> Result<String, E2eError> {
    let line = format!("sed -n 's/^0:://p' /proc/$(pgrep -xf '/bin/{program}')/cgroup");
    Ok(host.sh(&line)?.stdout.trim().to_owned())
}

/// Waits for the grant's receipt in the record that the broker holds.
fn receipt(fleet: &Fleet, id: &str) -> Result<String, E2eError> {
    let head = format!("receipt of grant {id}");
    let mut found = String::new();
    until(&format!("the receipt of {id}"), PATIENCE, || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", HOST]);
        let line =
            told.ok().and_then(|t| t.stdout.lines().find(|line| line.contains(&head)).map(str::to_owned));
        found = line.unwrap_or_default();
        !found.is_empty()
    })?;
    Ok(found)
}

/// Nothing of it runs, and nothing starts it again: podman's own supervisor is gone as well.
fn is_over(host: &Host, program: &str) -> Tested {
    until(&format!("{program} and its supervisor to be dead"), PATIENCE, || {
        !runs(host, program) && host.sh("! pgrep -x -u alice conmon").is_ok_and(|said| said.success())
    })?;
    Ok(())
}

#[test]
fn a_user_s_own_container_is_killed_with_the_grant() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    let id = fleet.grant("web-login", "10m")?;
    starts(host, &format!("podman {RUN}"), "/home/alice/tree", "sleep 9149")?;
    assert!(group(host, "sleep 9149")?.contains("user@1001.service"), "{}", group(host, "sleep 9149")?);
    fleet.carol.run(&["grant", "revoke", &id, "--reason", "enough"])?;
    is_over(host, "sleep 9149")?;
    let receipt = receipt(&fleet, &id)?;
    assert!(!runs(host, "sleep 9149"), "{receipt}");
    Ok(())
}

#[test]
fn root_s_container_is_killed_though_pid_1_has_its_scope_and_what_a_service_runs_or_will_start_is_named()
-> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    let id = fleet.grant("everywhere", "10m")?;
    starts(host, &format!("sudo -n podman {RUN} --privileged"), "/srv/tree", "sleep 9249")?;
    assert!(
        group(host, "sleep 9249")?.starts_with("/machine.slice/libpod-"),
        "{}",
        group(host, "sleep 9249")?
    );
    // Its father is a service that PID 1 started: nothing in it tells who asked.
    starts(host, &format!("sudo -n podman --remote {RUN} --privileged"), "/srv/tree", "sleep 9349")?;
    let of_service = group(host, "sleep 9349")?;
    let scope = of_service.split('/').find(|part| part.starts_with("libpod-")).unwrap_or_default().to_owned();
    assert!(scope.strip_suffix(".scope").is_some(), "{of_service}");

    // Started by nobody yet: by podman's own service at the next boot.
    let create = RUN.replace("run -d", "create --name=later");
    let later = host
        .ssh("alice", &format!("sudo -n podman {create} --privileged --rootfs /srv/tree /bin/sleep 9449"))?;
    let later = later.check("making a container")?.stdout.trim().to_owned();
    // And what makes a service of a container, where podman is new enough.
    let plant = "printf '[Container]\nImage=evil\n' > evil.container; sudo -n install -D evil.container /etc/containers/systemd/evil.container; \
                 install -D evil.container ~/.config/containers/systemd/evil.container";
    host.ssh("alice", plant)?.check("planting services")?;

    fleet.carol.run(&["grant", "revoke", &id, "--reason", "enough"])?;
    until("root's container to be dead", PATIENCE, || !runs(host, "sleep 9249"))?;
    let receipt = receipt(&fleet, &id)?;
    assert!(!runs(host, "sleep 9249"), "{receipt}");
    let named = [
        format!("PID 1 runs {scope} since"),
        format!("/var/lib/containers/storage/vfs-containers/{later}"),
        "/etc/containers/systemd/evil.container".to_owned(),
        "/home/alice/.config/containers/systemd/evil.container".to_owned(),
        "full root was used".to_owned(),
    ];
    for words in &named {
        assert!(receipt.contains(words), "{words}: {receipt}");
    }
    assert!(host.sh("! ls /home/alice/.config/containers/systemd/evil.container")?.success(), "{receipt}");
    // Its service has it still, and would start the others at the next boot: each is named.
    assert!(runs(host, "sleep 9349"), "{receipt}");
    let kept = host.sh("ls -d /var/lib/containers/storage/vfs-containers/*/")?.stdout;
    assert_eq!(kept.lines().count(), 3, "{kept}");
    for container in kept.lines() {
        assert!(receipt.contains(container.trim_end_matches('/')), "{container}: {receipt}");
    }
    Ok(())
}
