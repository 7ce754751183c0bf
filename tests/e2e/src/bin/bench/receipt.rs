//! From the end of a grant to its receipt at the broker, signed by the host, on a file system of half a million files. After a grant of
//! root all of them are looked at, for what became setuid.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use stint_e2e::Fleet;
use stint_lab::{Host, until};

use crate::report::{Case, close};

type Failed = Box<dyn std::error::Error>;

const ROUNDS: usize = 8;
/// The grant, and how its receipt begins where nothing is left.
const GRANTS: [(&str, &str); 2] =
    [("web-login", "web-01: clean"), ("web-root", "web-01: root was granted: no residue")];
const LEFTOVERS: [usize; 3] = [0, 1, 10];
/// Where the files are, and how many folders of a thousand: most of them where nothing is looked for, some in the account's own home.
const FILES: [(&str, usize); 2] = [("srv/files", 400), ("home/alice/files", 100)];
const IN_A_FOLDER: usize = 1000;
const BOUND: Duration = Duration::from_mins(1);

/// Runs it.
pub(crate) fn run() -> Result<(), Failed> {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    for (folder, folders) in FILES {
        fill(&host.root_path()?.join(folder), folders)?;
    }
    host.sh("chown -R alice:alice /home/alice/files")?.check("giving alice her files")?;
    let mut cases = Vec::new();
    for (grant, good) in GRANTS {
        for leftovers in LEFTOVERS {
            let mut took = Vec::new();
            for _ in 0..ROUNDS {
                took.push(round(&fleet, grant, good, leftovers)?);
            }
            cases.push(Case::of(format!("{grant}, {leftovers} leftovers"), took, "ms"));
        }
    }
    clear(host)?;
    close("receipt", &cases)
}

/// One grant, what it leaves, and its end. Answers the milliseconds from the call that revokes it.
fn round(fleet: &Fleet, grant: &str, good: &str, leftovers: usize) -> Result<f64, Failed> {
    let id = fleet.grant(grant, "10m")?;
    let plant = format!(
        "mkdir -p ~/.config/systemd/user; for i in $(seq {leftovers}); do echo '[Timer]' > ~/.config/systemd/user/left$i.timer; done"
    );
    fleet.host.ssh("alice", &plant)?.check("leaving something")?;
    let start = Instant::now();
    fleet.carol.run(&["grant", "revoke", &id, "--reason", "bench"])?;
    let mut shown = String::new();
    until("the receipt", BOUND, || {
        shown = fleet.carol.run(&["grant", "show", &id]).map(|said| said.stdout).unwrap_or_default();
        shown.contains(good) || shown.contains("NOT CLEAN")
    })?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    let undone = format!("{leftovers} undone");
    if !shown.contains(good) || (leftovers > 0) != shown.contains(&undone) {
        return Err(format!("another receipt than for {leftovers} leftovers: {shown}").into());
    }
    Ok(took)
}

fn fill(folder: &Path, folders: usize) -> Result<(), Failed> {
    for n in 0..folders {
        let folder = folder.join(n.to_string());
        fs::create_dir_all(&folder)?;
        for n in 0..IN_A_FOLDER {
            File::create(folder.join(n.to_string()))?;
        }
    }
    Ok(())
}

fn clear(host: &Host) -> Result<(), Failed> {
    for (folder, _) in FILES {
        fs::remove_dir_all(host.root_path()?.join(folder))?;
    }
    Ok(())
}
