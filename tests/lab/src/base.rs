//! The image that all hosts share, and other trees of Debian packages: built once from the machine's own apt configuration, then only
//! read.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::LabError;
use crate::deps::apt;
use crate::run::{bounded, capture};

pub(crate) const CUSTOMISE: &str = include_str!("scripts/customise.sh");
pub(crate) const PACKAGES: &[&str] = &[
    "adduser",
    "at",
    "cron",
    "dbus",
    "dbus-user-session",
    "e2fsprogs",
    "init-system-helpers",
    "iproute2",
    "less",
    "libnss-systemd",
    "libpam-modules",
    "libpam-runtime",
    "libpam-systemd",
    "login",
    "netcat-openbsd",
    "nvi",
    "opendoas",
    "openssh-client",
    "openssh-server",
    "pamtester",
    "passwd",
    "pkexec",
    "polkitd",
    "procps",
    "psmisc",
    "strace",
    "sudo",
    "systemd",
    "systemd-container",
    "systemd-sysv",
    "tmux",
    "util-linux",
    "xauth",
];

/// The release of Debian that this machine runs, by its name. Hosts run the same or a later one, since the PAM module is built
/// against this machine's libc.
fn own_suite() -> Result<String, LabError> {
    let path = "/etc/os-release";
    let text = fs::read_to_string(path).map_err(LabError::file(path))?;
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    match (value("ID").as_deref(), value("VERSION_CODENAME")) {
        (Some("debian"), Some(codename)) => Ok(codename),
        _ => Err(LabError::State {
            host: "this machine".into(),
            state: "not a Debian release; the lab needs one to build its hosts from".into(),
        }),
    }
}

/// How a tree is made of Debian packages.
#[derive(Hash)]
pub(crate) struct Recipe {
    /// What mmdebstrap calls the set to begin with: `apt` for a system, `extract` for files alone.
    pub(crate) variant: &'static str,
    /// The packages, those that they need apart.
    pub(crate) packages: Vec<&'static str>,
    /// Shell that is run on the finished tree, which is its `$1`; not with the variant `extract`.
    pub(crate) customise: String,
}

/// The image's folder, built first when this recipe has none yet; of the machine's own release if none is named, and with `more` packages
/// than every host has.
pub(crate) fn ensure(suite: Option<&str>, more: &[&'static str]) -> Result<PathBuf, LabError> {
    let suite = named(suite)?;
    let packages = [PACKAGES, more].concat();
    let recipe = Recipe { variant: "apt", packages, customise: CUSTOMISE.into() };
    let hash = if more.is_empty() { hash_of(&(CUSTOMISE, PACKAGES)) } else { hash_of(&recipe) };
    cached(&format!("base-{suite}-{hash:016x}"), |image, cache| make_tree(&suite, &recipe, image, cache))
}

/// This release, or the machine's own.
pub(crate) fn named(suite: Option<&str>) -> Result<String, LabError> {
    suite.map_or_else(own_suite, |suite| Ok(suite.to_owned()))
}

/// A folder of the cache, which `build` fills first when there is none of this name; it is given the folder to make, and the cache for
/// what it needs beside it. A lock keeps two builders apart.
pub(crate) fn cached(
    name: &str,
    build: impl FnOnce(&Path, &Path) -> Result<(), LabError>,
) -> Result<PathBuf, LabError> {
    let cache = cache_dir();
    fs::create_dir_all(&cache).map_err(LabError::file(&cache))?;
    let done = cache.join(name);
    if done.is_dir() {
        return Ok(done);
    }
    let lock_path = cache.join("lock");
    let lock = File::create(&lock_path).map_err(LabError::file(&lock_path))?;
    lock.lock().map_err(LabError::file(&lock_path))?;
    if !done.is_dir() {
        eprintln!("stint-lab: building {} (once, a minute or two)", done.display());
        let work = cache.join(format!("building-{}", std::process::id()));
        remove_tree(&work)?;
        fs::create_dir_all(&work).map_err(LabError::file(&work))?;
        let part = work.join("root");
        let built =
            build(&part, &work).and_then(|()| fs::rename(&part, &done).map_err(LabError::file(&done)));
        remove_tree(&work)?;
        built?;
    }
    Ok(done)
}

pub(crate) fn cache_dir() -> PathBuf {
    std::env::var_os("STINT_LAB_CACHE").map_or_else(|| PathBuf::from("/var/cache/stint-lab"), PathBuf::from)
}

/// A changed recipe is another image. Not a security hash: it names a cache entry.
pub(crate) fn hash_of(recipe: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    hasher.finish()
}

/// Makes the tree `root`; `work` is a folder for what that needs.
pub(crate) fn make_tree(suite: &str, recipe: &Recipe, root: &Path, work: &Path) -> Result<(), LabError> {
    let sources = work.join("sources.list");
    let script = work.join("customise.sh");
    write(&sources, machine_sources(suite)?.as_bytes())?;
    write(&script, recipe.customise.as_bytes())?;

    let mut command = bounded(Duration::from_mins(15), "mmdebstrap");
    command
        .args(["--quiet", "--mode=root", "--format=directory"])
        .arg(format!("--variant={}", recipe.variant));
    command.args([
        r#"--aptopt=Acquire::Languages "none""#,
        r#"--aptopt=APT::Install-Recommends "false""#,
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=force-unsafe-io",
    ]);
    for setting in machine_acquire_settings()? {
        command.arg(format!("--aptopt={setting}"));
    }
    command.arg(format!("--include={}", recipe.packages.join(",")));
    command.arg(format!("--customize-hook=sh {} \"$1\"", script.display()));
    command.arg(suite).arg(root).arg(&sources);
    command.env("LC_ALL", "C.UTF-8").env("TMPDIR", work);
    capture(command)?.check(format!("making {} with mmdebstrap", root.display())).map(drop)
}

/// The Debian archives of this machine, as one-line sources; of another release than its own, what stands beside its own in the same
/// archive. No mirror is named in our code.
fn machine_sources(suite: &str) -> Result<String, LabError> {
    let own = own_suite()?;
    for refresh in [false, true] {
        if refresh {
            apt(&["update", "-q"])?;
        }
        let mut command = bounded(Duration::from_mins(1), "apt-get");
        command.args(["indextargets", "--format", "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"]);
        command.arg("Created-By: Packages");
        let listed = capture(command)?.check("apt-get indextargets")?;
        let sources: Vec<String> =
            listed.stdout.lines().filter_map(|line| debian_source(&own, suite, line)).collect();
        if !sources.is_empty() {
            return Ok(sources.join("\n") + "\n");
        }
    }
    Err(LabError::State {
        host: "base image".into(),
        state: format!("without a package source: this machine's apt has no Debian {suite} archive; add one"),
    })
}

fn debian_source(own: &str, suite: &str, line: &str) -> Option<String> {
    let [origin, uri, release, component] = line.split('|').collect::<Vec<_>>().try_into().ok()?;
    if origin != "Debian" {
        return None;
    }
    // Updates and security fixes of another release may lie elsewhere.
    let found = if suite == own { release.starts_with(own) } else { release == own };
    let release = if suite == own { release } else { suite };
    found.then(|| format!("deb {uri} {release} {component}"))
}

/// The machine's settings of how to fetch (proxies, date checks), which a mirror may need.
fn machine_acquire_settings() -> Result<Vec<String>, LabError> {
    let mut command = bounded(Duration::from_mins(1), "apt-config");
    command.arg("dump");
    let dump = capture(command)?.check("apt-config dump")?;
    let wanted = |line: &&str| {
        line.starts_with("Acquire::") && ["Proxy", "Check-"].iter().any(|key| line.contains(key))
    };
    Ok(dump
        .stdout
        .lines()
        .filter(wanted)
        .filter(|line| !line.ends_with("\"\";"))
        .map(str::to_owned)
        .collect())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), LabError> {
    File::create(path).and_then(|mut file| file.write_all(bytes)).map_err(LabError::file(path))
}

fn remove_tree(path: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LabError::file(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::debian_source;

    #[test]
    fn a_debian_archive_of_the_suite_becomes_a_source() {
        let line = "Debian|http://mirror.example/debian/|bookworm-updates|main";
        assert_eq!(
            debian_source("bookworm", "bookworm", line).as_deref(),
            Some("deb http://mirror.example/debian/ bookworm-updates main")
        );
    }

    #[test]
    fn archives_of_others_and_other_suites_are_left_out() {
        assert_eq!(
            debian_source("bookworm", "bookworm", "Else|http://mirror.example/x/|bookworm|main"),
            None
        );
        assert_eq!(
            debian_source("bookworm", "bookworm", "Debian|http://mirror.example/debian/|trixie|main"),
            None
        );
        assert_eq!(debian_source("bookworm", "bookworm", "nonsense"), None);
    }

    #[test]
    fn another_release_is_looked_for_where_the_machine_s_own_is() {
        let line = "Debian|http://mirror.example/debian/|bookworm|main";
        let found = debian_source("bookworm", "trixie", line);
        assert_eq!(found.as_deref(), Some("deb http://mirror.example/debian/ trixie main"));
        let line = "Debian|http://mirror.example/debian-security/|bookworm-security|main";
        assert_eq!(debian_source("bookworm", "trixie", line), None);
    }
}
