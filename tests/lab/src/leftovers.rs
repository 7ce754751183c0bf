//! What a lab left behind: nothing, or a test fails.

use std::fs;
use std::path::Path;

use crate::LabError;
use crate::run::step;

const CGROUPS: &str = r#"
[ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] || mount -t cgroup2 none /sys/fs/cgroup
find /sys/fs/cgroup -maxdepth 1 -name "$0*""#;

/// Everything on this machine that carries the id: processes, cgroups, network namespaces, mounts and folders.
pub fn leftovers(id: &str) -> Result<Vec<String>, LabError> {
    let mut found = Vec::new();
    for entry in entries(Path::new("/proc"))? {
        let pid = entry.rsplit('/').next().unwrap_or_default().to_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) || pid == std::process::id().to_string() {
            continue;
        }
        // A process may end while it is looked at: then it is no leftover.
        let read = |file: &str| {
            String::from_utf8_lossy(&fs::read(format!("{entry}/{file}")).unwrap_or_default()).into_owned()
        };
        // A dead process that its parent has not fetched yet holds nothing any more.
        let dead = read("stat").rsplit(')').next().unwrap_or_default().starts_with(" Z");
        if !dead && (read("cmdline").contains(id) || read("cgroup").contains(id)) {
            found.push(format!("process {pid}: {}", read("cmdline").replace('\0', " ")));
        }
    }
    for dir in ["/run/netns", "/var/tmp"] {
        let there = if Path::new(dir).exists() { entries(Path::new(dir))? } else { Vec::new() };
        found.extend(there.into_iter().filter(|path| path.contains(id)));
    }
    let mounts = fs::read_to_string("/proc/self/mounts").map_err(LabError::file("/proc/self/mounts"))?;
    found.extend(mounts.lines().filter(|line| line.contains(id)).map(|line| format!("mount {line}")));
    let cgroups = step("looking for cgroups", "unshare", &["--mount", "--", "sh", "-c", CGROUPS, id])?;
    found.extend(cgroups.stdout.lines().map(|line| format!("cgroup {line}")));
    Ok(found)
}

fn entries(dir: &Path) -> Result<Vec<String>, LabError> {
    let list = fs::read_dir(dir).map_err(LabError::file(dir))?;
    Ok(list.flatten().map(|entry| entry.path().to_string_lossy().into_owned()).collect())
}
