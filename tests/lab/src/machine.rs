//! What is different about a host that is a virtual machine.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::LabError;
use crate::agent::Agent;
use crate::base::cache_dir;
use crate::lab::write;
use crate::run::{Outcome, step};
use crate::virtual_image::VirtualImage;

/// What goes to the host through its agent; that is slow, and everything longer lies on a disk for a moment.
const SHORT: usize = 16 * 1024;
/// The size of that disk, which is sparse, and of what is read from it at once.
const INBOX: u64 = 256 << 20;
const PIECE: usize = 1 << 20;

/// The one place that this machine has for a lab with virtual machines, whatever process the lab is of; free when the file is closed.
/// An emulated machine takes a processor and a gigabyte: two would be too slow for each other, and for what runs beside them.
pub(crate) fn turn() -> Result<File, LabError> {
    let cache = cache_dir();
    std::fs::create_dir_all(&cache).map_err(LabError::file(&cache))?;
    let path = cache.join("virtual.lock");
    let lock = File::create(&path).map_err(LabError::file(&path))?;
    match lock.try_lock() {
        Ok(()) => return Ok(lock),
        Err(TryLockError::WouldBlock) => {
            eprintln!("stint-lab: another lab has a virtual machine: waiting until it is gone");
        }
        Err(TryLockError::Error(error)) => return Err(LabError::file(&path)(error)),
    }
    lock.lock().map_err(LabError::file(&path))?;
    Ok(lock)
}

/// The emulated machine of one host.
#[derive(Debug)]
pub(crate) struct Machine {
    dir: PathBuf,
    image: VirtualImage,
    agent: Agent,
    /// The inbox has room for one file.
    turn: Mutex<()>,
}

impl Machine {
    pub(crate) fn new(name: &str, dir: &Path, image: VirtualImage) -> Self {
        Self { dir: dir.into(), image, agent: Agent::new(name, dir.join("agent.sock")), turn: Mutex::new(()) }
    }

    /// The emulator's tree, the image and the host's folder.
    pub(crate) fn boot_arguments(&self) -> [&Path; 3] {
        [&self.image.emulator, &self.image.image, &self.dir]
    }

    /// Of the range that is for local use, and by the address's last part.
    pub(crate) fn hardware_address(address: &str) -> String {
        let last: u8 = address.rsplit('.').next().and_then(|last| last.parse().ok()).unwrap_or_default();
        format!("52:54:00:77:00:{last:02x}")
    }

    /// Packs the names and keys that lie in `disk`, with the host's address, for the host's first boot.
    pub(crate) fn write_identity(&self, disk: &Path, address: &str) -> Result<(), LabError> {
        let network = disk.join("etc/systemd/network");
        std::fs::create_dir_all(&network).map_err(LabError::file(&network))?;
        let gateway = crate::CONTROL_ADDRESS;
        let text = format!(
            "[Match]\nType=ether\n[Network]\nAddress={address}/24\nGateway={gateway}\nLinkLocalAddressing=no\n"
        );
        write(&network.join("lab.network"), &text)?;
        let (archive, disk) = (self.dir.join("identity.tar"), disk.to_string_lossy());
        let archive = archive.to_string_lossy();
        let args = ["-C", &disk, "--owner=0", "--group=0", "--no-overwrite-dir", "-cf", &archive, "etc"];
        step("packing the host's identity", "tar", &args)?;
        // A disk is of whole sectors.
        step("rounding the host's identity", "truncate", &["-s", "%1M", &*archive])?;
        let inbox = self.inbox();
        File::create(&inbox).and_then(|file| file.set_len(INBOX)).map_err(LabError::file(&inbox))
    }

    /// A port of the switch that the emulator will hold.
    pub(crate) fn plug_in(switch: &str, port: &str) -> Result<(), LabError> {
        let tun = Path::new("/dev/net/tun");
        if !tun.exists() {
            let next =
                "a virtual machine's network needs it: load the module tun, or give it to this container";
            return Err(LabError::file(tun)(io::Error::new(io::ErrorKind::NotFound, next)));
        }
        for args in [
            &["-n", switch, "tuntap", "add", port, "mode", "tap"][..],
            &["-n", switch, "link", "set", port, "master", "br0", "up"],
        ] {
            step("plugging the virtual machine in", "ip", args)?;
        }
        Ok(())
    }

    /// The terminal at its serial port, where somebody at the machine sits.
    pub(crate) fn console(&self) -> Result<UnixStream, LabError> {
        let path = self.dir.join("console.sock");
        UnixStream::connect(&path).map_err(LabError::file(&path))
    }

    /// Runs a program as root, with this on its standard input.
    pub(crate) fn exec<S: AsRef<OsStr>>(&self, argv: &[S], input: &[u8]) -> Result<Outcome, LabError> {
        let argv: Vec<String> =
            argv.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
        self.agent.exec(&argv, input)
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, bytes: &[u8]) -> Result<(), LabError> {
        let put = |line: &str, input: &[u8]| {
            self.exec(&["sh", "-c", line, "sh", path], input)?.check(format!("writing {path}")).map(drop)
        };
        if bytes.len() <= SHORT {
            return put("cat > \"$1\"", bytes);
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let inbox = self.inbox();
        let file = File::options().write(true).open(&inbox).map_err(LabError::file(&inbox))?;
        file.write_all_at(bytes, 0).and_then(|()| file.set_len(INBOX)).map_err(LabError::file(&inbox))?;
        // Past the guest's own memory of what that disk held before.
        let (pieces, length) = (bytes.len().div_ceil(PIECE), bytes.len());
        put(
            &format!(
                "dd if=/dev/vdc iflag=direct bs={PIECE} count={pieces} status=none | head -c {length} > \"$1\" && \
                 test \"$(stat -Lc %s \"$1\")\" = {length}"
            ),
            &[],
        )
    }

    fn inbox(&self) -> PathBuf {
        self.dir.join("inbox")
    }
}
