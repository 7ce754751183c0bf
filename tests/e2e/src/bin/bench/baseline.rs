//! What the baseline costs a login: it is taken when a grant's first session opens, and that session waits for it, within a bound. So the
//! first login of each grant is timed against its second, which takes none; the account's service manager is stopped before both.

use std::thread;
use std::time::{Duration, Instant};

use stint_e2e::Fleet;

use crate::report::{Case, close};

type Failed = Box<dyn std::error::Error>;

const ROUNDS: usize = 20;
/// What a grant that has just begun, and a login that has just ended, set going is over by then.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs it.
pub(crate) fn run() -> Result<(), Failed> {
    let fleet = Fleet::new()?;
    // A login that nothing counts, so that all programs are in memory.
    let warm = fleet.grant("web-login", "10m")?;
    login(&fleet)?;
    fleet.carol.run(&["grant", "revoke", &warm, "--reason", "bench", "--wait"])?;
    let (mut first, mut second, mut more) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let id = fleet.grant("web-login", "10m")?;
        let with = login(&fleet)?;
        let without = login(&fleet)?;
        first.push(with);
        second.push(without);
        more.push(with - without);
        fleet.carol.run(&["grant", "revoke", &id, "--reason", "bench", "--wait"])?;
    }
    // What the warden itself says that it took to look at the host.
    let told = fleet.host.sh("journalctl -o cat -u stint-warden | grep -o 'baseline taken.*' | grep -o 'took_ms=[0-9]*' | cut -d= -f2")?;
    let looked: Vec<f64> = told.stdout.lines().filter_map(|line| line.trim().parse().ok()).collect();
    let without = Case::of("ssh true, without a baseline", second, "ms");
    let cases = [
        Case::of("ssh true, with a baseline", first, "ms").against("without", &without),
        without,
        Case::of("the difference, in pairs", more, "ms"),
        Case::of("looking at the host", looked, "ms"),
    ];
    close("baseline", &cases)
}

/// A login, and its milliseconds.
fn login(fleet: &Fleet) -> Result<f64, Failed> {
    fleet.host.sh("systemctl stop user@$(id -u alice).service user-runtime-dir@$(id -u alice).service")?;
    thread::sleep(PAUSE);
    let start = Instant::now();
    fleet.host.ssh("alice", "true")?.check("a login")?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
