//! The courier's certificate: issued for a short time by a real broker, renewed by the courier itself, refused after its end.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST, Options};
use stint_lab::{Outcome, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;
const TRANSPORT: &str = "/var/lib/stint/courier/transport.pem";

/// Asks the broker for the host's update with a certificate, as the host would: the HTTP status, or why there is none.
fn ask(fleet: &Fleet, certificate: &str) -> Result<Outcome, E2eError> {
    let ca = fleet.host.root_path()?.join("var/lib/stint/courier/ca.pem").to_string_lossy().into_owned();
    let url = format!("{}/v1/host/update", fleet.broker.url());
    let line = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", &ca];
    Ok(fleet.lab.control(&[&line[..], &["--cert", certificate, "--key", certificate, &url]].concat())?)
}

#[test]
fn the_courier_renews_its_certificate_by_itself_and_the_old_one_is_refused_after_its_end() -> Tested {
    let options = Options { certificate_life: "60s".into(), armed: false, ..Options::default() };
    let fleet = Fleet::with(&options)?;
    let on_host = fleet.host.root_path()?.join(TRANSPORT.trim_start_matches('/'));
    let read = || std::fs::read_to_string(&on_host).unwrap_or_default();
    let old = read();
    let old_path = fleet.lab.dir().join("old.pem");
    std::fs::write(&old_path, &old).expect("the lab's folder can be written");
    let old_path = old_path.to_string_lossy().into_owned();
    let good = ask(&fleet, &old_path)?;
    assert_eq!(good.stdout, "200", "{good}");

    until("the courier to renew its certificate", BOUND, || read() != old && !read().is_empty())?;
    until("the old one to be refused", BOUND, || {
        ask(&fleet, &old_path).is_ok_and(|refused| refused.stdout != "200")
    })?;
    let refused = ask(&fleet, &old_path)?;
    // By the handshake, or by the answer in the second of its end.
    assert!(refused.stdout == "401" || refused.stdout == "000", "{refused}");
    // A copy: curl reads the certificate and the key one after the other, and both are replaced now and then.
    let newest = fleet.lab.dir().join("newest.pem");
    std::fs::write(&newest, read()).expect("the lab's folder can be written");
    let taken = ask(&fleet, &newest.to_string_lossy())?;
    assert_eq!(taken.stdout, "200", "it is the certificate that was refused: {taken}");

    // It goes on: the host is told of a grant, and says that it has it.
    let before = read();
    fleet.grant("nginx-restart", "10m")?;
    // With each new certificate its stream is opened anew.
    until("the host to be connected", BOUND, || {
        fleet.admin.json(&["host", "show", HOST]).is_ok_and(|host| host["connected"] == true)
    })?;
    until("the courier to renew it again", BOUND, || read() != before && !read().is_empty())?;
    fleet.grant("nginx-restart", "10m")?;
    let alarms = fleet.host.sh("journalctl -u stint-courier -o cat | grep -c 'was not renewed'")?;
    assert_eq!(alarms.stdout.trim(), "0", "{alarms}");
    Ok(())
}
