//! One lab: its id, its switch, its keys, and the reaper that removes it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::host::Host;
use crate::run::{BOUND, Outcome, bounded, capture, step};
use crate::{LabError, base, deps, machine, virtual_image};

/// The accounts of every host: three people, a break-glass account, and root.
pub const USERS: &[&str] = &["alice", "bob", "carol", "rescue", "root"];
/// The address of the control side, the same in each lab.
pub const CONTROL_ADDRESS: &str = "10.77.0.1";
/// The name of the control side, as hosts and clients of the lab resolve it.
pub const BROKER_NAME: &str = "broker.lab";

pub(crate) const BOOT: &str = include_str!("scripts/boot.sh");
const BOOT_VIRTUAL: &str = include_str!("scripts/boot_virtual.sh");
pub(crate) const CUT: &str = include_str!("scripts/cut.sh");
const CONTROL: &str = include_str!("scripts/control.sh");
const REAP: &str = include_str!("scripts/reap.sh");

/// A switch with a control side, and the hosts on it. When the last handle (this and its hosts) is gone, or the
/// process ends in any way, everything that carries the lab's id is removed.
#[derive(Debug, Clone)]
pub struct Lab {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) id: String,
    pub(crate) dir: PathBuf,
    pub(crate) base: PathBuf,
    suite: Option<String>,
    reaper: Mutex<Child>,
    hosts: Mutex<Vec<(String, String)>>,
    /// Held from its first virtual machine to the end of the lab.
    turn: Mutex<Option<fs::File>>,
}

impl Lab {
    /// Gets what the machine lacks (packages, the base image). [`Lab::new`] does it too; calling it early lets it run
    /// beside other work. `suite` is a release of Debian by its name; none is that of the machine.
    pub fn prepare(suite: Option<&str>) -> Result<PathBuf, LabError> {
        prepare(suite, &[])
    }

    /// The same for virtual machines of [`Lab::new`].
    pub fn prepare_virtual() -> Result<(), LabError> {
        let suite = named_suite();
        Self::prepare(suite.as_deref())?;
        virtual_image::ensure(suite.as_deref()).map(drop)
    }

    /// Prepares the machine, and makes a switch with the lab's keys. Hosts are of the machine's own release of Debian, or of the one
    /// that `STINT_LAB_SUITE` names.
    pub fn new() -> Result<Self, LabError> {
        Self::of(named_suite().as_deref())
    }

    /// The same with hosts of another release of Debian, not older than the machine's own.
    pub fn of(suite: Option<&str>) -> Result<Self, LabError> {
        Self::on(Self::prepare(suite)?, suite)
    }

    /// As [`Lab::new`], with further packages of Debian's on its hosts: an image of their own, which is built when it is wanted first.
    pub fn with_packages(more: &[&'static str]) -> Result<Self, LabError> {
        let suite = named_suite();
        Self::on(prepare(suite.as_deref(), more)?, suite.as_deref())
    }

    fn on(base: PathBuf, suite: Option<&str>) -> Result<Self, LabError> {
        let random = "/proc/sys/kernel/random/uuid";
        let uuid = fs::read_to_string(random).map_err(LabError::file(random))?;
        let id = format!("stint-lab-{}", &uuid[..8]);
        let parent =
            std::env::var_os("STINT_LAB_DIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let dir = parent.join(&id);
        fs::DirBuilder::new().mode(0o755).recursive(true).create(&dir).map_err(LabError::file(&dir))?;
        let scripts = [
            ("boot.sh", BOOT),
            ("boot_virtual.sh", BOOT_VIRTUAL),
            ("cut.sh", CUT),
            ("control.sh", CONTROL),
            ("reap.sh", REAP),
        ];
        for (name, text) in scripts {
            write(&dir.join(name), text)?;
        }
        let reaper = start_reaper(&id, &dir)?;
        let suite = suite.map(str::to_owned);
        let (hosts, turn) = (Mutex::default(), Mutex::default());
        let lab = Self { inner: Arc::new(Inner { id, dir, base, suite, reaper, hosts, turn }) };
        lab.make_switch()?;
        lab.make_keys()?;
        lab.inner.write_hosts_file()?;
        Ok(lab)
    }

    /// The id that everything of this lab carries.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The lab's folder on disk; it vanishes with the lab.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// The read-only image that all hosts share.
    pub fn base_dir(&self) -> &Path {
        &self.inner.base
    }

    /// The private ssh key of a user; the public one stands beside it with `.pub`.
    pub fn key(&self, user: &str) -> PathBuf {
        self.inner.key(user)
    }

    /// Makes a new host of this name and boots it. Names are host names of at most 32 characters.
    pub fn host(&self, name: &str) -> Result<Host, LabError> {
        Host::create(self.inner.clone(), name, &self.place(name)?)
    }

    /// The same on a virtual machine, with a kernel and a clock of its own: for what a host that shares the machine's cannot show. Emulated,
    /// so it boots in half a minute and is slow. Its image is built when the first one is made. One lab at a time has virtual machines, on
    /// the whole machine: this waits until there is none.
    pub fn virtual_host(&self, name: &str) -> Result<Host, LabError> {
        let mut held = self.inner.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = Some(machine::turn()?);
        }
        drop(held);
        let image = virtual_image::ensure(self.inner.suite.as_deref())?;
        Host::create_virtual(self.inner.clone(), name, &self.place(name)?, image)
    }

    /// A place on the switch for a host of this name. Answers its address.
    fn place(&self, name: &str) -> Result<String, LabError> {
        let address = {
            let mut hosts = self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            if hosts.iter().any(|(other, _)| other == name) {
                return Err(LabError::State { host: name.into(), state: "there already".into() });
            }
            let address = format!("10.77.0.{}", 11 + hosts.len());
            hosts.push((name.to_owned(), address.clone()));
            address
        };
        self.inner.write_hosts_file()?;
        Ok(address)
    }

    /// A command that will run on the control side, where `broker.lab` is this side and hosts have their names.
    /// Its process id is the program's own. Arguments, environment and pipes are the caller's to add.
    pub fn control_command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.inner.control(Command::new("unshare"), program)
    }

    /// Runs a program on the control side to its end, within five minutes.
    pub fn control<S: AsRef<std::ffi::OsStr>>(&self, argv: &[S]) -> Result<Outcome, LabError> {
        let (program, args) = argv.split_first().ok_or_else(|| LabError::State {
            host: "control".into(),
            state: "asked to run nothing; give a program".into(),
        })?;
        let mut command = self.inner.control(bounded(BOUND, "unshare"), program);
        command.args(args);
        capture(command)
    }

    fn make_switch(&self) -> Result<(), LabError> {
        let switch = format!("{}-sw", self.id());
        let address = format!("{CONTROL_ADDRESS}/24");
        step("making the switch", "ip", &["netns", "add", &switch])?;
        for args in [
            &["link", "set", "lo", "up"][..],
            &["link", "add", "br0", "type", "bridge"],
            &["addr", "add", &address, "dev", "br0"],
            &["link", "set", "br0", "up"],
        ] {
            step("setting up the switch", "ip", &[&["-n", &switch], args].concat())?;
        }
        Ok(())
    }

    fn make_keys(&self) -> Result<(), LabError> {
        let keys = self.dir().join("keys");
        fs::DirBuilder::new().mode(0o700).create(&keys).map_err(LabError::file(&keys))?;
        for user in USERS {
            ssh_keygen(&self.key(user), user)?;
        }
        write(&self.dir().join("known_hosts"), "")
    }
}

fn prepare(suite: Option<&str>, more: &[&'static str]) -> Result<PathBuf, LabError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    deps::install()?;
    base::ensure(suite, more)
}

/// The release of hosts that `STINT_LAB_SUITE` names; none is that of the machine.
fn named_suite() -> Option<String> {
    std::env::var("STINT_LAB_SUITE").ok()
}

impl Inner {
    pub(crate) fn key(&self, user: &str) -> PathBuf {
        self.dir.join("keys").join(user)
    }

    /// `prefix` is `unshare`, or `unshare` under `timeout`.
    pub(crate) fn control(&self, mut prefix: Command, program: impl AsRef<std::ffi::OsStr>) -> Command {
        prefix.args(["--mount", "--", "sh"]).arg(self.dir.join("control.sh"));
        prefix.arg(&self.id).arg(&self.dir).arg(program);
        prefix
    }

    /// Written in place: running programs of the control side see the file through a bind mount.
    fn write_hosts_file(&self) -> Result<(), LabError> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<_> = hosts.iter().map(|(name, address)| format!("{address} {name}")).collect();
        write(&self.dir.join("hosts"), &hosts_text(&(names.join("\n") + "\n")))
    }
}
/// The names that every side of the lab knows, and these.
pub(crate) fn hosts_text(more: &str) -> String {
    format!("127.0.0.1 localhost\n{CONTROL_ADDRESS} {BROKER_NAME} control\n{more}")
}

pub(crate) fn ssh_keygen(path: &Path, comment: &str) -> Result<(), LabError> {
    let path = path.to_string_lossy();
    let args = ["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", &path];
    step("making an ssh key", "ssh-keygen", &args).map(drop)
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), LabError> {
    fs::File::create(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(LabError::file(path))
}

/// The reaper's stdin is the lifeline: the kernel closes it when this process ends, however it ends.
fn start_reaper(id: &str, dir: &Path) -> Result<Mutex<Child>, LabError> {
    let mut command = Command::new("sh");
    command.args(["-c", REAP, "reap"]).arg(id).arg(dir).current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(|source| LabError::Start { program: "sh".into(), source })?;
    Ok(Mutex::new(child))
}

impl Drop for Inner {
    fn drop(&mut self) {
        let reaper = self.reaper.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(reaper.stdin.take());
        if let Err(error) = reaper.wait() {
            eprintln!("stint-lab: the reaper of {} could not be waited for: {error}", self.id);
        }
    }
}
