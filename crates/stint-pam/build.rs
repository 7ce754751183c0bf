//! Keeps the module mapped once it was loaded: what Rust's runtime leaves behind in a process (thread-local destructors) must not
//! point into unmapped memory after `dlclose`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // The module of the tests; a program takes no notice.
    println!("cargo::rustc-link-arg-examples=-Wl,-z,nodelete");
}
