//! The story.

use std::time::Duration;

use stint_e2e::{Dropins, Fleet, HOST, processes_of, sessions_of, unix_now};
use stint_lab::{Session, until};

use crate::tell::{DemoError, Teller, ran, said, typed};

type Told = Result<(), DemoError>;
const BOUND: Duration = Duration::from_secs(30);
const WINDOW: &str = "60s";
const RESTART: &str = "sudo -n systemctl restart nginx.service";

pub(crate) fn run() -> Told {
    let mut tell = Teller::new();
    tell.step(
        "A broker, its people, and a Debian host: booted, installed from the package, enrolled and armed",
    );
    let fleet = Fleet::new()?;
    let status = fleet.host.exec(&["stintd", "status"])?;
    ran("root@web-01", "stintd status", &status);
    tell.holds("the host enforces", status.text().contains("enforce"))?;

    denied(&mut tell, &fleet)?;
    let id = approved(&mut tell, &fleet)?;
    let end = fleet.end_of(&id)?;
    let session = at_work(&mut tell, &fleet, &id)?;
    over(&mut tell, &fleet, &id, end, session)?;
    record(&mut tell, &fleet, &id)?;

    tell.step("Everything is taken down");
    let lab = fleet.lab.id().to_owned();
    drop(fleet);
    let left = stint_lab::leftovers(&lab)?;
    said(&left.join("\n"));
    tell.holds("no process, mount, cgroup, namespace or file of the demo is left", left.is_empty())
}

fn denied(tell: &mut Teller, fleet: &Fleet) -> Told {
    tell.step("alice has no grant: sshd refuses her, with the cause");
    let denied = fleet.host.ssh("alice", "true")?;
    ran("alice", "ssh web-01", &denied);
    tell.holds("no way in", denied.status == 255)?;
    tell.holds("the cause is named", denied.text().contains("you have no grant on this host"))
}

fn approved(tell: &mut Teller, fleet: &Fleet) -> Result<String, DemoError> {
    tell.step("alice asks for what she needs");
    let listed = fleet.alice.run(&["entitlement", "ls"])?;
    ran("alice", "stint entitlement ls", &listed);
    let id = fleet.alice.request("nginx-restart", HOST, WINDOW)?;
    let line = format!(
        "stint request create nginx-restart --host {HOST} --reason \"OPS-12 rollover\" --for {WINDOW}"
    );
    typed("alice", &line);
    said(&fleet.alice.run(&["request", "show", &id])?.stdout);
    let still = fleet.host.ssh("alice", "true")?;
    tell.holds("a request alone lets nobody in", still.status == 255)?;

    tell.step("bob reads the terms and approves them, signed with his own ssh key");
    let own = fleet.alice.stint(&["request", "review", &id, "--approve", "--yes"])?;
    tell.holds("alice cannot approve it herself", !own.success())?;
    let approved = fleet.bob.approve(&id)?;
    ran("bob", &format!("stint request review {id} --approve"), &approved);

    tell.step("alice starts her window");
    let activated = fleet.alice.activate(&id)?;
    ran("alice", &format!("stint grant activate {id} --wait"), &activated);
    let dropins = Dropins::on(&fleet.host)?.0;
    tell.holds("the host holds exactly one drop-in, hers", dropins == [format!("zz-stint-{id}")])?;
    let dropin = fleet.host.sh(&format!("grep -v '^#' /etc/sudoers.d/zz-stint-{id}"))?;
    ran("root@web-01", &format!("cat /etc/sudoers.d/zz-stint-{id}"), &dropin);
    Ok(id)
}

fn at_work(tell: &mut Teller, fleet: &Fleet, id: &str) -> Result<Session, DemoError> {
    let host = &fleet.host;
    tell.step("alice logs in");
    let mut session = host.ssh_session("alice")?;
    let welcome = session.wait_for("stint: access until", BOUND)?;
    typed("alice", "ssh web-01");
    said(welcome.lines().find(|line| line.contains("stint: access until")).unwrap_or_default());
    tell.holds("she is told her grant and its end", welcome.contains(id))?;

    tell.step("She may run exactly what was granted");
    session.type_line("sudo -n -l; echo list''ed")?;
    session.wait_for("listed", BOUND)?;
    let listed = host.ssh("alice", "sudo -n -l")?;
    ran("alice@web-01", "sudo -l", &listed);
    let pid = "systemctl show -p MainPID --value nginx";
    let before = host.sh(pid)?.stdout;
    session.type_line(&format!("{RESTART} && echo rest''arted"))?;
    session.wait_for("restarted", BOUND)?;
    typed("alice@web-01", RESTART);
    tell.holds("nginx was restarted", host.sh(pid)?.stdout != before)?;
    for line in ["sudo -n systemctl restart ssh.service", "sudo -n id", "sudo -n -u bob id"] {
        let refused = host.ssh("alice", line)?;
        ran("alice@web-01", line, &refused);
        tell.holds("refused", !refused.success())?;
    }

    tell.step("She leaves something running that ignores TERM and HUP, in a session of its own");
    let stubborn = "setsid sh -c 'trap \"\" TERM HUP; sleep 600 & sleep 600' &";
    session.type_line(stubborn)?;
    typed("alice@web-01", stubborn);
    until("the stubborn process to run", BOUND, || {
        processes_of(host, "alice").is_ok_and(|list| list.iter().any(|line| line.contains("sleep 600")))
    })?;
    said(&processes_of(host, "alice")?.join("\n"));
    Ok(session)
}

fn over(tell: &mut Teller, fleet: &Fleet, id: &str, end: f64, mut session: Session) -> Told {
    let host = &fleet.host;
    tell.step("The window ends");
    said(&format!("waiting for it, {:.0} s to go", (end - unix_now()).max(0.0)));
    session.wait_closed(Duration::from_secs(90))?;
    said(
        session
            .heard()
            .lines()
            .rev()
            .take(4)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join("\n")
            .as_str(),
    );
    let gone = |what: &str, holds: &dyn Fn() -> bool| until(what, BOUND, holds);
    gone("alice's processes to be gone", &|| processes_of(host, "alice").is_ok_and(|list| list.is_empty()))?;
    let late = unix_now() - end;
    tell.holds(&format!("session and processes are gone, {late:.1} s after the end"), late > -1.0)?;
    gone("alice's sessions to be gone", &|| sessions_of(host, "alice").is_ok_and(|list| list.is_empty()))?;
    gone("the drop-in to be gone", &|| Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty()))?;
    tell.holds("no drop-in is left", true)?;
    let ended = host.ssh("alice", "true")?;
    ran("alice", "ssh web-01", &ended);
    tell.holds("she is refused, with the cause", ended.text().contains(&format!("your grant {id} ended")))?;
    let sudo = host.sh(&format!("runuser -u alice -- {RESTART}"))?;
    tell.holds("and so is her sudo", !sudo.success())
}

fn record(tell: &mut Teller, fleet: &Fleet, id: &str) -> Told {
    tell.step("The record: what happened on the host, signed by it, held by the broker, verified without trusting it");
    let host_row = fleet.admin.json(&["host", "show", HOST])?;
    let listed = || fleet.carol.stint(&["audit", "ls", "--host", HOST]);
    until("the record to arrive", BOUND, || listed().is_ok_and(|told| told.stdout.contains(id)))?;
    let listed = listed()?;
    ran("carol", &format!("stint audit ls --host {HOST}"), &listed);
    let key = fleet.host_key()?;
    let verified = fleet.carol.run(&["audit", "verify", "--host", HOST, "--key", &key])?;
    ran("carol", &format!("stint audit verify --host {HOST} --key {key}"), &verified);
    tell.holds("every record, the chain and the host's signatures hold", verified.success())?;
    tell.holds("the broker holds it", host_row["journal_size"].as_u64().is_some_and(|size| size > 0))
}
