//! What virtual machines are made of: the disk image with a kernel, and the emulator, both built once into the cache.
//!
//! The emulator stands in a tree of its own and is run in it: the machine itself gets no package, and keeps those that it has.

use std::fs;
use std::path::{Path, PathBuf};

use crate::LabError;
use crate::base::{CUSTOMISE, PACKAGES, Recipe, cached, hash_of, make_tree, named};
use crate::run::step;

const VIRTUAL: &str = include_str!("scripts/virtual.sh");
/// What a host with a kernel of its own has beyond the others.
const KERNEL_PACKAGES: &[&str] =
    &["initramfs-tools", "kmod", "linux-image-cloud-amd64", "qemu-guest-agent", "udev", "util-linux-extra"];
/// The disk's size, which is sparse: what is not written costs nothing.
const DISK: &str = "3G";

/// The emulator's tree and the image's folder.
#[derive(Debug, Clone)]
pub(crate) struct VirtualImage {
    /// Where the emulator is run in.
    pub(crate) emulator: PathBuf,
    /// Holds `root.img`, `vmlinuz` and `initrd.img`.
    pub(crate) image: PathBuf,
}

/// Both, built first when their recipe has none yet.
pub(crate) fn ensure(suite: Option<&str>) -> Result<VirtualImage, LabError> {
    // The emulator is the machine's own release whatever the hosts are.
    let own = named(None)?;
    let recipe = Recipe {
        variant: "extract",
        packages: vec!["qemu-system-x86", "qemu-utils"],
        customise: String::new(),
    };
    let emulator = cached(&format!("emulator-{own}-{:016x}", hash_of(&recipe)), |tree, work| {
        make_tree(&own, &recipe, tree, work)?;
        // Where boot_virtual.sh mounts what the emulator needs.
        for place in ["dev", "lab/image", "lab/host"] {
            let place = tree.join(place);
            fs::create_dir_all(&place).map_err(LabError::file(&place))?;
        }
        Ok(())
    })?;
    let suite = named(suite)?;
    let recipe = Recipe {
        variant: "apt",
        packages: [PACKAGES, KERNEL_PACKAGES].concat(),
        customise: format!("{CUSTOMISE}{VIRTUAL}"),
    };
    let image = cached(&format!("virtual-{suite}-{:016x}", hash_of(&(&recipe, DISK))), |image, work| {
        let tree = work.join("tree");
        make_tree(&suite, &recipe, &tree, work)?;
        make_image(&tree, image)
    })?;
    Ok(VirtualImage { emulator, image })
}

/// A disk that holds this tree, and beside it the kernel, which the emulator loads itself.
fn make_image(tree: &Path, image: &Path) -> Result<(), LabError> {
    fs::create_dir(image).map_err(LabError::file(image))?;
    for name in ["vmlinuz", "initrd.img"] {
        let from = tree.join(name);
        // Links into boot, which end at the machine's own root if they are followed from outside.
        let to = fs::read_link(&from).map_err(LabError::file(&from))?;
        let to = to.strip_prefix("/").unwrap_or(&to);
        fs::copy(tree.join(to), image.join(name)).map_err(LabError::file(&from))?;
    }
    let (disk, tree) = (image.join("root.img"), tree.to_string_lossy());
    let disk = disk.to_string_lossy();
    let args = ["-q", "-t", "ext4", "-L", "root", "-E", "lazy_itable_init=1", "-d", &tree, &disk, DISK];
    step("making the virtual machines' disk", "mke2fs", &args).map(drop)
}
