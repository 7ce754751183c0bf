//! A host to look around in: boots one, installs the packages named as arguments, and runs lines of standard input
//! inside as root. `cargo run -p stint-lab --example shell -- target/dist/stint-host.deb`; with `--virtual` before it, a virtual machine.

use std::io::{BufRead, Write};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lab = stint_lab::Lab::new()?;
    let mut packages = std::env::args().skip(1).peekable();
    let host = if packages.next_if_eq("--virtual").is_some() {
        lab.virtual_host("web-01")?
    } else {
        lab.host("web-01")?
    };
    println!("{} is up at {}, disk {}", host.name(), host.address(), host.disk_path().display());
    for deb in packages {
        print!("{}", host.install_deb(Path::new(&deb))?.text());
    }
    let input = std::io::stdin().lock();
    for line in input.lines() {
        let line = line?;
        let outcome = match line.split_once(' ') {
            Some(("ssh", rest)) => {
                let (user, command) = rest.split_once(' ').unwrap_or((rest, "true"));
                host.ssh(user, command)?
            }
            _ => host.sh(&line)?,
        };
        println!("$ {line}\n{}[{}]", outcome.text(), outcome.status);
        std::io::stdout().flush()?;
    }
    Ok(())
}
