//! One booted host.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::lab::{Inner, USERS, hosts_text, ssh_keygen, write};
use crate::machine::Machine;
use crate::run::{BOUND, Outcome, Patience, bounded, capture, step};
use crate::virtual_image::VirtualImage;
use crate::wait::{gave_up, poll, until};
use crate::{LabError, ssh};

const CONSOLE: &str = include_str!("scripts/console.pl");

/// A host with a disk of its own. Dropped, it loses its power; its disk goes with the lab.
#[derive(Debug)]
pub struct Host {
    pub(crate) lab: Arc<Inner>,
    name: String,
    address: String,
    dir: PathBuf,
    supervisor: Mutex<Option<Child>>,
    /// Of a virtual machine.
    machine: Option<Machine>,
}

impl Host {
    pub(crate) fn create(lab: Arc<Inner>, name: &str, address: &str) -> Result<Self, LabError> {
        let host = Self::laid_out(lab, name, address, None)?;
        host.write_identity()?;
        host.plug_in()?;
        host.start()?;
        Ok(host)
    }

    pub(crate) fn create_virtual(
        lab: Arc<Inner>,
        name: &str,
        address: &str,
        image: VirtualImage,
    ) -> Result<Self, LabError> {
        let host = Self::laid_out(lab, name, address, Some(image))?;
        host.write_identity()?;
        if let Some(machine) = &host.machine {
            machine.write_identity(&host.disk_path(), address)?;
            Machine::plug_in(&host.switch(), &host.port())?;
        }
        host.start()?;
        Ok(host)
    }

    fn laid_out(
        lab: Arc<Inner>,
        name: &str,
        address: &str,
        image: Option<VirtualImage>,
    ) -> Result<Self, LabError> {
        let dir = lab.dir.join(name);
        for part in ["disk/etc/ssh/lab-keys", "work", "root"] {
            let path = dir.join(part);
            fs::DirBuilder::new().mode(0o755).recursive(true).create(&path).map_err(LabError::file(&path))?;
        }
        let machine = image.map(|image| Machine::new(name, &dir, image));
        let supervisor = Mutex::default();
        Ok(Self { lab, name: name.into(), address: address.into(), dir, supervisor, machine })
    }

    /// The host's name, by which the control side reaches it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a virtual machine, with a kernel and a clock of its own.
    pub fn is_virtual(&self) -> bool {
        self.machine.is_some()
    }

    /// The host's address on the switch.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Boots the host on the disk it has, and waits until systemd has started everything.
    pub fn start(&self) -> Result<(), LabError> {
        let mut supervisor = self.lock();
        if supervisor.is_some() {
            return Err(LabError::State { host: self.name.clone(), state: "up already".into() });
        }
        match fs::remove_file(self.dir.join("pid")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(LabError::file(self.dir.join("pid"))(error));
            }
            _ => {}
        }
        let log_path = self.dir.join("console.log");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(LabError::file(&log_path))?;
        let errors = log.try_clone().map_err(LabError::file(&log_path))?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "setsid", "sh"]);
        match &self.machine {
            None => {
                command.arg(self.lab.dir.join("boot.sh")).arg(&self.lab.id).arg(&self.name);
                command.arg(&self.lab.base).arg(&self.dir);
            }
            Some(machine) => {
                command.arg(self.lab.dir.join("boot_virtual.sh")).arg(&self.lab.id).arg(&self.name);
                command.args(machine.boot_arguments()).arg(self.port());
                command.arg(Machine::hardware_address(&self.address));
            }
        }
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        *supervisor =
            Some(command.spawn().map_err(|source| LabError::Start { program: "unshare".into(), source })?);
        drop(supervisor);
        self.wait_until_up()
    }

    /// Cuts the power: every process dies at once, nothing is told, the disk stays. See the crate's limits.
    pub fn power_cut(&self) -> Result<(), LabError> {
        let script = self.lab.dir.join("cut.sh");
        let script = script.to_string_lossy();
        let cut = ["--mount", "--", "sh", &script, &self.lab.id, &self.name];
        step("cutting the power", "unshare", &cut)?;
        self.reap_supervisor()
    }

    /// An orderly power-off; the disk stays.
    pub fn stop(&self) -> Result<(), LabError> {
        if self.machine.is_some() {
            // Its answer may be lost with the agent: what counts is that the machine ends.
            let _ = self.exec(&["systemctl", "poweroff", "--no-block"]);
        } else {
            let pid = self.nspawn_pid()?;
            step("asking for power-off", "kill", &["-TERM", &pid.to_string()])?;
        }
        let gone = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)));
        until("the host to power off", self.patience().shutdown, || self.lock().as_mut().is_none_or(gone))?;
        self.reap_supervisor()
    }

    /// A reboot as people do it: `systemctl reboot` inside, then up again on the same disk.
    pub fn reboot(&self) -> Result<(), LabError> {
        let boot = || match &self.machine {
            None => self.leader().map(|leader| leader.to_string()),
            Some(_) => Ok(self
                .exec(&["cat", "/proc/sys/kernel/random/boot_id"])?
                .check("asking for the boot")?
                .stdout),
        };
        let before = boot()?;
        // The answer may be lost with the connection: what counts is the new first process.
        let asked = self.exec(&["systemctl", "reboot", "--no-block"]);
        if self.machine.is_none() {
            asked?;
        }
        until("the host to go down for its reboot", self.patience().shutdown, || {
            boot().is_ok_and(|now| now != before)
        })?;
        self.wait_until_up()
    }

    /// Pulls the network cable. Connections are not closed; packets just stop.
    pub fn cut_network(&self) -> Result<(), LabError> {
        self.set_port("down")
    }

    /// Puts the network cable back.
    pub fn restore_network(&self) -> Result<(), LabError> {
        self.set_port("up")
    }

    /// A command that will run inside the host as root, outside any session and any unit.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command, LabError> {
        self.enter(Command::new("nsenter"), program)
    }

    /// Runs a program inside the host as root, within five minutes (ten on a virtual machine).
    pub fn exec<S: AsRef<OsStr>>(&self, argv: &[S]) -> Result<Outcome, LabError> {
        let (program, args) = argv.split_first().ok_or_else(|| LabError::State {
            host: self.name.clone(),
            state: "asked to run nothing; give a program".into(),
        })?;
        if let Some(machine) = &self.machine {
            return machine.exec(argv, &[]);
        }
        let mut command = self.enter(bounded(BOUND, "nsenter"), program)?;
        command.args(args);
        capture(command)
    }

    /// Runs a line of shell inside the host as root.
    pub fn sh(&self, line: &str) -> Result<Outcome, LabError> {
        self.exec(&["sh", "-c", line])
    }

    /// Runs a command through real ssh as a user, with that user's key.
    pub fn ssh(&self, user: &str, line: &str) -> Result<Outcome, LabError> {
        ssh::run(&self.lab, user, &self.name, &[], line, self.patience())
    }

    /// Like [`Host::ssh`], with further options of the ssh client (`-i`, `-o`, `-L`) before the destination.
    pub fn ssh_with(&self, user: &str, options: &[&str], line: &str) -> Result<Outcome, LabError> {
        ssh::run(&self.lab, user, &self.name, options, line, self.patience())
    }

    /// Starts a command through real ssh, with further options of the ssh client, and lets it run: its input stays open.
    pub fn ssh_held(&self, user: &str, options: &[&str], line: &str) -> Result<ssh::Session, LabError> {
        ssh::Session::hold(&self.lab, user, &self.name, options, line, self.patience())
    }

    /// Opens an interactive login shell on a terminal, through real ssh.
    pub fn ssh_session(&self, user: &str) -> Result<ssh::Session, LabError> {
        ssh::Session::open(&self.lab, user, &self.name, self.patience())
    }

    fn patience(&self) -> Patience {
        if self.is_virtual() { Patience::EMULATED } else { Patience::USUAL }
    }

    /// Runs a line of shell, one command, as root on a terminal of the host, outside any session: `/bin/login bob` is bob at the
    /// console.
    pub fn terminal(&self, line: &str) -> Result<ssh::Session, LabError> {
        let mut command = self.command("perl")?;
        command.args(["-e", CONSOLE, line]);
        ssh::Session::of(command)
    }

    /// Sits down at a virtual machine's own console, a serial port with a `login:` prompt. Whoever stands up should log out before.
    pub fn serial_console(&self) -> Result<ssh::Session, LabError> {
        let machine = self.machine.as_ref().ok_or_else(|| LabError::State {
            host: self.name.clone(),
            state: "not a virtual machine; its console is `terminal(\"/bin/login root\")`".into(),
        })?;
        let path = self.dir.join("console.sock");
        machine.console().and_then(|port| ssh::Session::at(port).map_err(LabError::file(path)))
    }

    /// Installs a package file with dpkg, as `apt install ./file.deb` does once its dependencies are there.
    pub fn install_deb(&self, deb: &Path) -> Result<Outcome, LabError> {
        let name = deb.file_name().unwrap_or(OsStr::new("package.deb"));
        let inside = format!("/root/{}", name.to_string_lossy());
        self.write(&inside, &fs::read(deb).map_err(LabError::file(deb))?)?;
        self.sh(&format!("DEBIAN_FRONTEND=noninteractive dpkg -i '{inside}'"))?.check(format!(
            "installing {} on {}",
            deb.display(),
            self.name
        ))
    }

    /// Writes a file of the host, anew or over the one that is there, which keeps its owner and mode. The path begins with `/`.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<(), LabError> {
        if let Some(machine) = &self.machine {
            return machine.write(path, bytes);
        }
        let inside = self.root_path()?.join(path.trim_start_matches('/'));
        fs::write(&inside, bytes).map_err(LabError::file(&inside))
    }

    /// The host's file tree as the machine sees it while the host is up, mounts of the host included.
    pub fn root_path(&self) -> Result<PathBuf, LabError> {
        Ok(PathBuf::from(format!("/proc/{}/root", self.leader()?)))
    }

    /// What the host's disk holds beyond the image, for changes while the host is down.
    pub fn disk_path(&self) -> PathBuf {
        self.dir.join("disk")
    }

    /// The machine's process id of the host's first process.
    pub fn leader(&self) -> Result<u32, LabError> {
        if self.machine.is_some() {
            let state =
                "a virtual machine, whose processes and files are its own; use exec, sh, write or ssh";
            return Err(LabError::State { host: self.name.clone(), state: state.into() });
        }
        let pid = self.nspawn_pid()?;
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(&path).map_err(LabError::file(path))?;
        children.split_whitespace().next().and_then(|first| first.parse().ok()).ok_or_else(|| self.down())
    }

    /// Everything the console has said since the host was made.
    pub fn console(&self) -> String {
        fs::read_to_string(self.dir.join("console.log")).unwrap_or_default()
    }

    /// The console and the last lines of the journal: what a failing test should print.
    pub fn diagnosis(&self) -> String {
        let failed =
            self.exec(&["systemctl", "--failed", "--no-legend"]).map(|o| o.text()).unwrap_or_default();
        let journal = self.exec(&["journalctl", "--no-pager", "-n", "200", "-o", "short-precise"]);
        let journal = journal.map_or_else(|error| error.to_string(), |outcome| outcome.text());
        let (name, console) = (&self.name, self.console());
        format!(
            "--- {name}: console\n{console}\n--- {name}: failed units\n{failed}\n--- {name}: journal\n{journal}\n"
        )
    }

    fn write_identity(&self) -> Result<(), LabError> {
        let etc = self.dir.join("disk/etc");
        let random = "/proc/sys/kernel/random/uuid";
        let uuid = fs::read_to_string(random).map_err(LabError::file(random))?;
        write(&etc.join("machine-id"), &uuid.replace('-', ""))?;
        write(&etc.join("hostname"), &format!("{}\n", self.name))?;
        write(&etc.join("hosts"), &hosts_text(&format!("{} {}\n", self.address, self.name)))?;
        for user in USERS {
            let public = self.lab.key(user).with_extension("pub");
            fs::copy(&public, etc.join("ssh/lab-keys").join(user)).map_err(LabError::file(&public))?;
        }
        let key = etc.join("ssh/ssh_host_ed25519_key");
        ssh_keygen(&key, &self.name)?;
        let public = key.with_extension("pub");
        let public = fs::read_to_string(&public).map_err(LabError::file(&public))?;
        let known = self.lab.dir.join("known_hosts");
        let line = format!("{},{} {public}", self.name, self.address);
        fs::File::options()
            .append(true)
            .open(&known)
            .and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()))
            .map_err(LabError::file(&known))
    }

    /// The host's network namespace, with a cable to the switch.
    fn plug_in(&self) -> Result<(), LabError> {
        let (switch, own, port) = (self.switch(), format!("{}-{}", self.lab.id, self.name), self.port());
        let address = format!("{}/24", self.address);
        let gateway = crate::CONTROL_ADDRESS;
        for args in [
            &["netns", "add", &own][..],
            &["-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "host0", "netns", &own],
            &["-n", &switch, "link", "set", &port, "master", "br0", "up"],
            &["-n", &own, "link", "set", "lo", "up"],
            &["-n", &own, "addr", "add", &address, "dev", "host0"],
            &["-n", &own, "link", "set", "host0", "up"],
            &["-n", &own, "route", "add", "default", "via", gateway],
        ] {
            step("plugging the host in", "ip", args)?;
        }
        Ok(())
    }

    fn set_port(&self, state: &str) -> Result<(), LabError> {
        let (switch, port) = (self.switch(), self.port());
        step("switching a network port", "ip", &["-n", &switch, "link", "set", &port, state]).map(drop)
    }

    fn switch(&self) -> String {
        format!("{}-sw", self.lab.id)
    }

    /// The port's name on the switch: `p11` for 10.77.0.11.
    fn port(&self) -> String {
        format!("p{}", self.address.rsplit('.').next().unwrap_or_default())
    }

    fn enter(&self, mut prefix: Command, program: impl AsRef<OsStr>) -> Result<Command, LabError> {
        prefix.args(["-t", &self.leader()?.to_string(), "-m", "-u", "-i", "-n", "-p", "-C", "--"]);
        prefix.args(["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
        prefix.args(["HOME=/root", "LANG=C.UTF-8"]).arg(program);
        Ok(prefix)
    }

    fn wait_until_up(&self) -> Result<(), LabError> {
        let booted = poll("the host to boot", self.patience().boot, || {
            if !self.supervisor_lives() {
                return Some(Err(self.down()));
            }
            let state = self.exec(&["systemctl", "is-system-running", "--wait"]).ok()?.stdout;
            matches!(state.trim(), "running" | "degraded").then_some(Ok(()))
        });
        match booted {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) | Err(error) => {
                eprintln!("--- {}: console\n{}", self.name, self.console());
                Err(error)
            }
        }
    }

    fn supervisor_lives(&self) -> bool {
        self.lock().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn reap_supervisor(&self) -> Result<(), LabError> {
        let child = self.lock().take();
        if let Some(mut child) = child {
            child.wait().map_err(|source| LabError::Start { program: "unshare".into(), source })?;
        }
        Ok(())
    }

    fn nspawn_pid(&self) -> Result<u32, LabError> {
        let text = fs::read_to_string(self.dir.join("pid")).map_err(|_| self.down())?;
        text.trim().parse().map_err(|_| self.down())
    }

    fn down(&self) -> LabError {
        LabError::State { host: self.name.clone(), state: "down; start() boots it".into() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() || gave_up() {
            eprintln!("{}", self.diagnosis());
        }
        if self.lock().is_some()
            && let Err(error) = self.power_cut()
        {
            eprintln!("stint-lab: {}: {error}", self.name);
        }
    }
}
