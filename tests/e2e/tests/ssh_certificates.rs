//! Logins by certificate: only while the grant lives, only with its key, from its address, on its host.

use std::path::PathBuf;
use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST, HardwareKey, Options};
use stint_lab::{CONNECT_TIMEOUT, Host, Outcome, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

/// What is given to ssh in the lab: its host keys, no configuration of the machine, no prompt.
fn lab_options(fleet: &Fleet) -> Vec<String> {
    let known = format!("UserKnownHostsFile={}", fleet.lab.dir().join("known_hosts").display());
    let options = ["-F", "none", "-o", "BatchMode=yes", "-o", CONNECT_TIMEOUT, "-o", "LogLevel=INFO"];
    options.into_iter().chain(["-o", &known]).map(str::to_owned).collect()
}

/// `stint ssh HOST -- OPTIONS LINE` by alice, as one types it.
fn stint_ssh(fleet: &Fleet, mine: &[&str], line: &str) -> Result<Outcome, E2eError> {
    let options = lab_options(fleet);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    fleet.alice.stint(&[&["ssh", HOST], mine, &["--"], &options, &[line]].concat())
}

/// No key of her own lets alice in.
fn without_authorized_keys(host: &Host) -> Tested {
    host.sh("rm -f /etc/ssh/lab-keys/alice && rm -rf /home/alice/.ssh")?.check("removing keys")?;
    Ok(())
}

/// A key and its certificate, taken from where plain ssh finds them, as a thief would.
struct Stolen {
    key: PathBuf,
    certificate: PathBuf,
}

impl Stolen {
    fn from_alice(fleet: &Fleet) -> Result<Self, E2eError> {
        fleet.alice.run(&["ssh", HOST, "--prepare"])?;
        let kept = fleet.alice.home().join("run/stint-ssh").join(HOST);
        let key = fleet.lab.dir().join("stolen");
        let certificate = fleet.lab.dir().join("stolen-cert.pub");
        for (from, to) in
            [(kept.clone(), &key), (kept.with_file_name(format!("{HOST}-cert.pub")), &certificate)]
        {
            fleet
                .lab
                .control(&["cp", "-p", &from.to_string_lossy(), &to.to_string_lossy()])?
                .check("stealing")?;
        }
        Ok(Self { key, certificate })
    }

    /// Logs in as alice with nothing else.
    fn login(&self, fleet: &Fleet, host: &str, more: &[&str]) -> Result<Outcome, E2eError> {
        let options = lab_options(fleet);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let key = format!("IdentityFile={}", self.key.display());
        let certificate = format!("CertificateFile={}", self.certificate.display());
        let only = ["-o", &key, "-o", &certificate, "-o", "IdentitiesOnly=yes", "-l", "alice"];
        Ok(fleet.lab.control(&[&["ssh"], &options[..], &only, more, &[host, "whoami"]].concat())?)
    }
}

/// What sshd wrote to the host's log.
fn sshd_said(host: &Host, words: &str) -> bool {
    host.sh("journalctl -t sshd -t sshd-session -o cat --no-pager")
        .is_ok_and(|log| log.stdout.contains(words))
}

#[test]
fn a_certificate_alone_lets_its_holder_in_and_nothing_of_it_stands_after_the_end() -> Tested {
    let fleet = Fleet::new()?;
    without_authorized_keys(&fleet.host)?;
    let id = fleet.grant("web-login", "10m")?;
    let refused = fleet.host.ssh("alice", "true")?;
    assert_eq!(refused.status, 255, "her own key is not known there any more: {refused}");

    let said = stint_ssh(&fleet, &[], "whoami; exit 7")?;
    assert_eq!((said.stdout.trim(), said.status), ("alice", 7), "{said}");
    let principals = fleet.host.sh("cat /var/lib/stint/ssh/principals/alice")?.stdout;
    assert!(principals.contains(&format!("stint:{id}@{HOST}")), "{principals}");
    until("the login to be on record", BOUND, || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", HOST]);
        told.is_ok_and(|told| told.stdout.lines().any(|l| l.contains("opened by sshd") && l.contains(&id)))
    })?;

    fleet.alice.run(&["grant", "end", &id, "--wait", "--timeout=3m"])?;
    assert_eq!(fleet.host.sh("ls -A /var/lib/stint/ssh/principals")?.stdout, "");
    let over = stint_ssh(&fleet, &["--wait"], "true")?;
    assert_eq!(over.status, 4, "{over}");
    assert!(over.text().contains("you have no grant. You may request here: "), "{over}");
    Ok(())
}

#[test]
fn a_hardware_key_logs_in_by_certificate_and_a_grant_can_be_bound_to_it() -> Tested {
    let fleet = Fleet::new()?;
    without_authorized_keys(&fleet.host)?;
    let key = HardwareKey::new(&fleet.alice.home().join("touched"))?;
    let public = key.path().with_extension("pub");
    let listed = fleet.lab.control(&["ssh-keygen", "-l", "-f", &public.to_string_lossy()])?.stdout;
    let fingerprint = listed.split_whitespace().nth(1).unwrap_or_default();
    let create = ["request", "create", "web-login", "--host", HOST, "--reason", "x", "--for", "10m"];
    let made = fleet.alice.json(&[&create[..], &["--credential", fingerprint]].concat())?;
    let id = made["id"].as_str().unwrap_or_default().to_owned();
    fleet.bob.approve(&id)?;
    fleet.alice.activate(&id)?;

    let agent = format!("SSH_AUTH_SOCK={}", key.agent().display());
    let path = key.path().to_string_lossy();
    let options = lab_options(&fleet);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let line = ["env", &agent, "stint", "ssh", HOST, "-i", &path, "--"];
    let said = fleet.alice.at_desk(&[&line[..], &options, &["whoami"]].concat())?;
    assert_eq!(said.stdout.trim(), "alice", "{said}");

    let other = stint_ssh(&fleet, &[], "whoami")?;
    assert_eq!(other.status, 4, "a key made in memory is not the one that was named: {other}");
    let another = HardwareKey::new(&fleet.alice.home().join("another"))?;
    let agent = format!("SSH_AUTH_SOCK={}", another.agent().display());
    let path = another.path().to_string_lossy();
    let line = ["env", &agent, "stint", "ssh", HOST, "-i", &path, "--"];
    let said = fleet.alice.at_desk(&[&line[..], &options, &["whoami"]].concat())?;
    assert!(!said.success() && said.stdout.is_empty(), "another hardware key: {said}");
    Ok(())
}

/// Waits until a request of somebody's is there, and approves it.
fn approve_what_comes(fleet: &Fleet) -> Tested {
    let mut pending = String::new();
    until("the request to be there", BOUND, || {
        let listed = fleet.bob.json(&["request", "ls", "--state", "pending"]);
        pending = listed.ok().and_then(|l| l[0]["id"].as_str().map(str::to_owned)).unwrap_or_default();
        !pending.is_empty()
    })?;
    fleet.bob.approve(&pending)?;
    Ok(())
}

#[test]
fn at_a_terminal_the_denied_login_asks_for_what_it_lacks_and_logs_in() -> Tested {
    let fleet = Fleet::new()?;
    without_authorized_keys(&fleet.host)?;
    let options = lab_options(&fleet);
    let args: Vec<&str> = ["ssh", HOST, "--"].into_iter().chain(options.iter().map(String::as_str)).collect();
    let mut alice = fleet.alice.at_terminal(&args)?;
    for (prompt, answer) in [("Entitlement [", "web-login"), ("Reason: ", "OPS-12 rollover"), ("For [", "5m")]
    {
        let heard = alice.wait_for(prompt, BOUND)?;
        assert!(heard.contains("you have no grant. You may request here: "), "{heard}");
        alice.type_line(answer)?;
    }
    let heard = alice.wait_for("waits for 1 review", BOUND)?;
    assert!(heard.contains("OPS-12 rollover"), "{heard}");
    approve_what_comes(&fleet)?;
    let heard = alice.wait_for("alice@web-01", BOUND)?;
    assert!(heard.contains("stint: access until"), "{heard}");
    alice.type_line("exit 7")?;
    assert_eq!(alice.wait_closed(BOUND)?.code(), Some(7), "{}", alice.heard());
    Ok(())
}

#[test]
fn the_denied_login_requests_waits_for_the_review_and_logs_in() -> Tested {
    let fleet = Fleet::new()?;
    without_authorized_keys(&fleet.host)?;
    let options = lab_options(&fleet);
    let mut args = vec![
        "ssh",
        HOST,
        "--wait",
        "--entitlement",
        "web-login",
        "--reason",
        "OPS-12 rollover",
        "--for",
        "5m",
    ];
    args.push("--");
    args.extend(options.iter().map(String::as_str));
    args.push("whoami");
    let mut waiting = fleet.alice.start(&args)?;
    if let Err(error) = approve_what_comes(&fleet) {
        let _ = waiting.kill();
        eprintln!("{:?}", waiting.wait_with_output());
        return Err(error);
    }
    let done = waiting.wait_with_output().map_err(E2eError::file(std::path::Path::new("stint")))?;
    let errors = String::from_utf8_lossy(&done.stderr);
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "alice", "{errors}");
    assert!(errors.contains("waits for 1 review") && errors.contains("access until"), "{errors}");
    Ok(())
}

#[test]
fn a_stolen_certificate_is_refused_from_elsewhere_on_another_host_with_another_key_and_after_the_end()
-> Tested {
    let fleet = Fleet::new()?;
    let other = fleet.another_host("web-02")?;
    for host in [&fleet.host, &other] {
        without_authorized_keys(host)?;
    }
    let id = fleet.grant("web-login", "10m")?;
    // A grant of her own on the other host as well: the certificate is not of that one.
    let there = fleet.alice.request("web-login", "web-02", "10m")?;
    fleet.bob.approve(&there)?;
    fleet.alice.activate(&there)?;

    let stolen = Stolen::from_alice(&fleet)?;
    let good = stolen.login(&fleet, HOST, &[])?;
    assert_eq!(good.stdout.trim(), "alice", "the thief has what it takes: {good}");

    let switch = ["ip", "addr", "add", "10.77.0.200/24", "dev", "br0"];
    fleet.lab.control(&switch)?.check("a second address")?;
    let elsewhere = stolen.login(&fleet, HOST, &["-b", "10.77.0.200"])?;
    assert_eq!(elsewhere.status, 255, "{elsewhere}");
    until("sshd to say why", BOUND, || sshd_said(&fleet.host, "not from a permitted source address"))?;

    let on_other = stolen.login(&fleet, "web-02", &[])?;
    assert_eq!(on_other.status, 255, "{on_other}");
    until("sshd to say why", BOUND, || sshd_said(&other, "does not contain an authorized principal"))?;

    let another_key = Stolen { key: fleet.lab.key("carol"), certificate: stolen.certificate.clone() };
    let with_another = another_key.login(&fleet, HOST, &[])?;
    assert_eq!(with_another.status, 255, "{with_another}");

    fleet.alice.run(&["grant", "end", &id, "--wait", "--timeout=3m"])?;
    let after = stolen.login(&fleet, HOST, &[])?;
    assert_eq!(after.status, 255, "{after}");
    until("sshd to say why", BOUND, || sshd_said(&fleet.host, "does not contain an authorized principal"))?;
    let answer = fleet.alice.stint(&["ssh", HOST, "--prepare"])?;
    assert_eq!(answer.status, 4, "{answer}");
    Ok(())
}

/// What somebody can do who has the broker's own keys.
fn forge(fleet: &Fleet, principal: &str) -> Result<Stolen, E2eError> {
    let key = fleet.lab.key("carol");
    let public = fleet.lab.dir().join("forged.pub");
    let authority = fleet.broker.data.join("keys/certificate.key");
    let line = |path: &PathBuf| path.to_string_lossy().into_owned();
    fleet.lab.control(&["cp", &line(&key.with_extension("pub")), &line(&public)])?.check("a key")?;
    let sign = [
        "ssh-keygen",
        "-q",
        "-s",
        &line(&authority),
        "-I",
        "forged",
        "-n",
        principal,
        "-V",
        "+5m",
        &line(&public),
    ];
    fleet.lab.control(&sign)?.check("forging a certificate")?;
    Ok(Stolen { key, certificate: fleet.lab.dir().join("forged-cert.pub") })
}

#[test]
fn a_broken_broker_opens_nothing_that_the_host_refused_nor_a_grant_bound_to_a_key() -> Tested {
    let host_toml = "[managed]\nbreak_glass_uid = 1900\n[limits]\nregister_timeout_ms = 5000\n[ceiling.reviews]\nlogin = 2\n";
    let fleet = Fleet::with(&Options { host_toml: host_toml.into(), ..Options::default() })?;
    let host = &fleet.host;
    let id = fleet.alice.request("web-login", HOST, "10m")?;
    fleet.bob.approve(&id)?;
    assert!(!fleet.alice.activate(&id).is_ok_and(|done| done.success()), "two reviews are demanded");

    for principal in [format!("stint:{id}@{HOST}"), "alice".to_owned(), format!("stint:aaaaaaaaaaaa@{HOST}")]
    {
        let refused = forge(&fleet, &principal)?.login(&fleet, HOST, &[])?;
        assert_eq!(refused.status, 255, "{principal}: {refused}");
    }
    until("sshd to say why", BOUND, || sshd_said(host, "does not contain an authorized principal"))?;
    assert_eq!(host.sh("ls -A /var/lib/stint/ssh/principals")?.stdout, "");

    // The host's administrator asks for one review: now the host takes grants, and a reviewed one is bound to alice's key.
    let path = host.root_path()?.join("etc/stint/host.toml");
    std::fs::write(&path, host_toml.replace("login = 2", "login = 1")).map_err(E2eError::file(&path))?;
    let principals =
        || host.sh("cat /var/lib/stint/ssh/principals/alice").is_ok_and(|o| o.stdout.contains(&id));
    until("the warden to go by it", BOUND, principals)?;
    let public = fleet.lab.key("alice").with_extension("pub");
    let listed = fleet.lab.control(&["ssh-keygen", "-l", "-f", &public.to_string_lossy()])?.stdout;
    let fingerprint = listed.split_whitespace().nth(1).unwrap_or_default();
    let create = [
        "request",
        "create",
        "web-login",
        "--host",
        HOST,
        "--reason",
        "x",
        "--for",
        "10m",
        "--credential",
        fingerprint,
    ];
    let made = fleet.alice.json(&create)?;
    let bound = made["id"].as_str().unwrap_or_default().to_owned();
    fleet.bob.approve(&bound)?;
    fleet.alice.run(&["grant", "end", &id])?;
    fleet.alice.activate(&bound)?;
    let principals = host.sh("cat /var/lib/stint/ssh/principals/alice")?.stdout;
    assert!(principals.contains(&bound), "{principals}");
    let forged = forge(&fleet, &format!("stint:{bound}@{HOST}"))?.login(&fleet, HOST, &[])?;
    assert!(!forged.stdout.contains("alice"), "{forged}");
    assert_ne!(forged.status, 0, "{forged}");

    without_authorized_keys(host)?;
    let made = fleet.alice.stint(&["ssh", HOST])?;
    assert_eq!(made.status, 4, "a key made in memory is none of those that were named: {made}");
    let own = fleet.lab.key("alice").to_string_lossy().into_owned();
    let with_own = stint_ssh(&fleet, &["--identity", &own], "whoami")?;
    assert_eq!(with_own.stdout.trim(), "alice", "{with_own}");
    Ok(())
}

#[test]
fn plain_ssh_and_what_builds_on_it_log_in_by_the_lines_of_ssh_config() -> Tested {
    let fleet = Fleet::new()?;
    without_authorized_keys(&fleet.host)?;
    fleet.grant("web-login", "10m")?;
    let lines = fleet.alice.run(&["ssh-config"])?.stdout;
    let known = format!(
        "\nMatch all\n    UserKnownHostsFile {}\n    BatchMode yes\n",
        fleet.lab.dir().join("known_hosts").display()
    );
    let config = fleet.alice.home().join("ssh_config");
    std::fs::write(&config, lines + &known).map_err(E2eError::file(&config))?;
    let config = config.to_string_lossy().into_owned();
    let said = fleet.alice.at_desk(&["ssh", "-F", &config, HOST, "whoami"])?;
    assert_eq!(said.stdout.trim(), "alice", "{said}");
    let file = fleet.alice.home().join("file");
    std::fs::write(&file, "sent\n").map_err(E2eError::file(&file))?;
    let to = format!("{HOST}:/tmp/received");
    fleet.alice.at_desk(&["scp", "-F", &config, &file.to_string_lossy(), &to])?.check("scp")?;
    assert_eq!(fleet.host.sh("cat /tmp/received")?.stdout, "sent\n");
    let kept = fleet.alice.home().join("run/stint-ssh").to_string_lossy().into_owned();
    let modes = fleet.alice.at_desk(&["find", &kept, "-perm", "/077"])?.stdout;
    assert_eq!(modes, "", "nobody else reads them");
    Ok(())
}
