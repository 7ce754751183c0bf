//! An armed host at rest: how often warden and courier wake, and what memory they hold.

use std::thread;
use std::time::Duration;

use stint_e2e::{Fleet, Options};
use stint_lab::Host;

use crate::report::{Case, close};

type Done = Result<(), Box<dyn std::error::Error>>;

/// What is left to do after arming is done by then.
const SETTLING: Duration = Duration::from_secs(30);
const MINUTES: u64 = 2;

/// Runs it.
pub(crate) fn run() -> Done {
    // How often a pulse and a probe of the connection come is the broker's to say: the defaults, and once a minute.
    let default = Options::default();
    let slow = Options { pulse_interval: "60s".into(), keep_alive: "60s".into(), ..Options::default() };
    let mut cases = at_rest(&default)?;
    cases.extend(at_rest(&slow)?);
    close("rest", &cases)
}

fn at_rest(options: &Options) -> Result<Vec<Case>, Box<dyn std::error::Error>> {
    let fleet = Fleet::with(options)?;
    let pulse_interval = &options.pulse_interval;
    let host = &fleet.host;
    thread::sleep(SETTLING);
    let before = [switches(host, "warden")?, switches(host, "courier")?];
    let mut rates: [Vec<f64>; 2] = Default::default();
    let mut last = before;
    for _ in 0..MINUTES {
        thread::sleep(Duration::from_mins(1));
        let now = [switches(host, "warden")?, switches(host, "courier")?];
        for ((rate, now), last) in rates.iter_mut().zip(now).zip(last) {
            rate.push(now - last);
        }
        last = now;
    }
    let [warden, courier] = rates;
    let name = |what: &str| format!("{what}, a pulse each {pulse_interval}");
    let mut cases = vec![
        Case::of(name("warden switches"), warden, "/min"),
        Case::of(name("courier switches"), courier, "/min"),
    ];
    for who in ["warden", "courier"] {
        let pss = number(
            host,
            &format!("awk '/^Pss:/ {{print $2}}' /proc/$(pgrep -xf '/usr/sbin/stintd {who}')/smaps_rollup"),
        )?;
        cases.push(Case::new(name(&format!("{who} PSS")), pss / 1024.0, pss / 1024.0, "MiB"));
    }
    Ok(cases)
}

/// Times at which a thread of the process gave up the processor by itself, since it began.
fn switches(host: &Host, who: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let line = format!(
        "cat /proc/$(pgrep -xf '/usr/sbin/stintd {who}')/task/*/status | awk '/^voluntary/ {{n += $2}} END {{print n}}'"
    );
    number(host, &line)
}

fn number(host: &Host, line: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let said = host.sh(line)?.check("looking at a process")?;
    Ok(said.stdout.trim().parse()?)
}
