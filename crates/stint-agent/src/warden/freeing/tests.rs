//! With real mounts and flags, in a mount namespace of the test's own. Only root has them, and only some file systems have flags.

use std::os::unix::fs::symlink;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::*;

const DROP_IN: &str = "etc/sudoers.d/zz-stint-aaaabbbbcccc";
const TEXT: &str = "# Made by stint for grant aaaabbbbcccc. And so on.\n";

struct Host {
    root: tempfile::TempDir,
}

impl Host {
    /// In a mount namespace of this thread's own; `None` where that cannot be.
    fn new() -> Option<Self> {
        let made = unshare(CloneFlags::CLONE_NEWNS).is_ok()
            && mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .is_ok();
        let host = Self { root: tempfile::tempdir().unwrap() };
        for folder in ["etc/sudoers.d", "var/lib/stint/gate/gen-1", "var/lib/stint/journal", "elsewhere"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        host.write(DROP_IN, TEXT);
        host.write("var/lib/stint/gate/current", "{}");
        host.write("elsewhere/file", "another's\n");
        made.then_some(host)
    }
    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }
    fn write(&self, below: &str, text: &str) {
        fs::write(self.path(below), text).unwrap();
    }
    fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }
    fn bind(&self, from: &str, on: &str) {
        let (from, on) = (self.path(from), self.path(on));
        mount(Some(&from), &on, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    }
    fn mounts(&self) -> Vec<PathBuf> {
        let text = fs::read("/proc/thread-self/mountinfo").unwrap();
        mount_points(&text).filter(|place| place.starts_with(self.root.path())).collect()
    }
    fn free(&self) -> Freed {
        let text = fs::read("/proc/thread-self/mountinfo").unwrap();
        free(&Paths::under(self.root.path()), self.root.path(), &text).unwrap()
    }
    /// Sets a flag. False where the file system has none.
    fn fix(&self, below: &str, flag: IFlags) -> bool {
        let file = File::open(self.path(below)).unwrap();
        rustix::fs::ioctl_setflags(&file, flags_of(&file) | flag).is_ok()
    }
    fn is_fixed(&self, below: &str) -> bool {
        flags_of(&File::open(self.path(below)).unwrap()).intersects(FIXED)
    }
    fn loosen(&self, below: &str) {
        let file = File::open(self.path(below)).unwrap();
        rustix::fs::ioctl_setflags(&file, flags_of(&file).difference(FIXED)).unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for place in self.mounts().iter().rev() {
            while umount2(place, MntFlags::MNT_DETACH).is_ok() {}
        }
    }
}

#[test]
fn mounts_on_our_files_are_taken_off_and_what_was_mounted_is_untouched() {
    let Some(host) = Host::new() else { return };
    host.bind("elsewhere/file", DROP_IN);
    host.bind("elsewhere/file", DROP_IN);
    host.bind("elsewhere/file", "var/lib/stint/gate/current");
    host.bind("elsewhere", "var/lib/stint/gate/gen-1");
    assert_eq!(host.mounts().len(), 3);
    let freed = host.free();
    assert!(host.mounts().is_empty(), "{:?}", host.mounts());
    assert_eq!(freed.done.len(), 4, "{freed:?}");
    assert!(freed.left.is_empty(), "{freed:?}");
    assert_eq!(
        (host.read(DROP_IN), host.read("elsewhere/file")),
        (TEXT.to_owned(), "another's\n".to_owned())
    );
    assert_eq!(host.free(), Freed::default(), "nothing is left to do");
}

#[test]
fn a_mount_whose_name_is_no_text_hides_none_of_those_on_our_files() {
    use std::os::unix::ffi::OsStrExt;
    let Some(host) = Host::new() else { return };
    let odd = host.path("elsewhere").join(std::ffi::OsStr::from_bytes(b"\xff"));
    fs::create_dir(&odd).unwrap();
    mount(Some(&odd), &odd, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    host.bind("elsewhere/file", DROP_IN);
    host.free();
    assert_eq!(host.mounts(), [odd]);
}

#[test]
fn mounts_that_are_not_on_our_files_stay() {
    let Some(host) = Host::new() else { return };
    host.write("etc/sudoers.d/admins", "x");
    host.bind("elsewhere/file", "etc/sudoers.d/admins");
    // A volume of the host's own for our journal, and one for all that is ours.
    host.bind("elsewhere", "var/lib/stint/journal");
    host.bind("var/lib/stint", "var/lib/stint");
    let before = host.mounts();
    assert_eq!(host.free(), Freed::default());
    assert_eq!(host.mounts(), before);
}

#[test]
fn a_link_in_a_name_of_ours_or_on_the_way_leads_nowhere() {
    let Some(host) = Host::new() else { return };
    host.bind("elsewhere", "elsewhere");
    fs::remove_file(host.path(DROP_IN)).unwrap();
    symlink(host.path("elsewhere"), host.path(DROP_IN)).unwrap();
    fs::remove_dir_all(host.path("var/lib/stint/gate")).unwrap();
    symlink(host.path("elsewhere"), host.path("var/lib/stint/gate")).unwrap();
    let fixed = host.fix("elsewhere/file", IFlags::IMMUTABLE);
    let before = host.mounts();
    let lies = format!(
        "22 1 0:21 / {} rw - ext4 x rw\n22 1 0:21 / {} rw - ext4 x rw\n",
        host.path(DROP_IN).display(),
        host.path("var/lib/stint/gate/file").display()
    );
    let freed = free(&Paths::under(host.root.path()), host.root.path(), lies.as_bytes()).unwrap();
    assert_eq!((freed, host.mounts()), (Freed::default(), before));
    if fixed {
        assert!(host.is_fixed("elsewhere/file"));
        host.loosen("elsewhere/file");
    }
}

#[test]
fn flags_of_our_files_and_folders_are_taken_off_and_those_of_others_are_not() {
    let Some(host) = Host::new() else { return };
    host.write("etc/sudoers.d/admins", "x");
    if !host.fix("etc/sudoers.d/admins", IFlags::IMMUTABLE) {
        return;
    }
    let ours = [DROP_IN, "var/lib/stint/gate/current", "var/lib/stint/gate", "etc/sudoers.d"];
    for (n, path) in ours.iter().enumerate() {
        assert!(host.fix(path, if n % 2 == 0 { IFlags::IMMUTABLE } else { IFlags::APPEND }));
    }
    fs::remove_file(host.path(DROP_IN)).unwrap_err();
    let freed = host.free();
    assert_eq!((freed.done.len(), freed.left.len()), (4, 0), "{freed:?}");
    assert!(ours.iter().all(|path| !host.is_fixed(path)));
    fs::remove_file(host.path(DROP_IN)).unwrap();
    assert!(host.is_fixed("etc/sudoers.d/admins"));
    host.loosen("etc/sudoers.d/admins");
}

#[test]
fn a_hard_link_to_somebody_else_s_immutable_file_leaves_it_its_flag_and_one_to_ours_does_not_keep_it() {
    let Some(host) = Host::new() else { return };
    fs::hard_link(host.path("elsewhere/file"), host.path("var/lib/stint/gate/trap")).unwrap();
    fs::hard_link(host.path(DROP_IN), host.path("elsewhere/keeps")).unwrap();
    if !host.fix("elsewhere/file", IFlags::IMMUTABLE) {
        return;
    }
    assert!(host.fix(DROP_IN, IFlags::IMMUTABLE));
    let freed = host.free();
    assert!(host.is_fixed("elsewhere/file") && !host.is_fixed(DROP_IN), "{freed:?}");
    assert!(freed.left.len() == 1 && freed.left[0].contains("gate/trap is a file with 2 names"), "{freed:?}");
    host.loosen("elsewhere/file");
}

#[test]
fn what_was_done_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::under(dir.path());
    files::ensure_dir(&paths.state, 0o700).unwrap();
    assert_eq!(take_answer(&paths).unwrap(), None);
    let freed = Freed { done: vec!["x".to_owned()], left: Vec::new() };
    files::replace(&paths.freed(), &serde_json::to_vec(&freed).unwrap(), 0o600).unwrap();
    assert_eq!(take_answer(&paths).unwrap(), Some(freed));
    assert_eq!(take_answer(&paths).unwrap(), None);
}
