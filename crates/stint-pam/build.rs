//! How the module is linked.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Keeps the module mapped once it was loaded: what Rust's runtime leaves behind in a process (thread-local destructors) must
    // not point into unmapped memory after `dlclose`. For all targets, as the module of the tests is an example; a program takes
    // no notice.
    println!("cargo::rustc-link-arg=-Wl,-z,nodelete");

    // The unwinder goes into the module. As a library of its own, loading it would cost each sudo as much as the whole decision.
    // rustc asks for `-lgcc_s`; this linker script, found before the real one, names the static library instead.
    let scripts = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(scripts.join("libgcc_s.so"), "GROUP ( -lgcc_eh -lgcc )\n")
        .expect("OUT_DIR can be written");
    println!("cargo::rustc-link-search=native={}", scripts.display());
}
