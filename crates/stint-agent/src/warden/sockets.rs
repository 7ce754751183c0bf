//! The warden's sockets. systemd holds them, so that nobody is refused while the warden starts again.

use std::io;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use listenfd::ListenFd;
use nix::sys::socket::{setsockopt, sockopt};

use super::paths::Paths;
use super::sudo_log::RECEIVER;

/// The sockets, listening.
pub(crate) struct Sockets {
    /// Where sessions are registered.
    pub(crate) warden: tokio::net::UnixListener,
    /// Where the courier comes.
    pub(crate) courier: tokio::net::UnixListener,
    /// Where decisions are told.
    pub(crate) decisions: tokio::net::UnixDatagram,
    /// Where sudo tells of commands. Only systemd can make it: the warden has no network.
    pub(crate) sudo: Option<TcpListener>,
}

/// Takes the sockets from systemd by their paths, and binds those that it did not hand over.
pub(crate) fn open(paths: &Paths) -> io::Result<Sockets> {
    let (mut warden, mut courier, mut decisions, mut sudo) = (None, None, None, None);
    let mut handed = ListenFd::from_env();
    for index in 0..handed.len() {
        if let Ok(Some(listener)) = handed.take_unix_listener(index) {
            let place = listener.local_addr()?;
            match place.as_pathname() {
                Some(path) if path == paths.warden_socket() => warden = Some(listener),
                Some(path) if path == paths.courier_socket() => courier = Some(listener),
                other => tracing::warn!(?other, "systemd handed over a socket that the warden does not know"),
            }
        } else if let Ok(Some(datagrams)) = handed.take_unix_datagram(index) {
            decisions = Some(datagrams);
        } else if let Ok(Some(listener)) = handed.take_tcp_listener(index) {
            match listener.local_addr()? {
                address if address.to_string() == RECEIVER => sudo = Some(listener),
                other => tracing::warn!(%other, "systemd handed over a socket that the warden does not know"),
            }
        }
    }
    let warden = warden.map_or_else(|| bind(&paths.warden_socket()), Ok)?;
    let courier = courier.map_or_else(|| bind(&paths.courier_socket()), Ok)?;
    let decisions = decisions.map_or_else(|| bind_datagrams(&paths.decisions_socket()), Ok)?;
    setsockopt(&decisions, sockopt::PassCred, &true)?;
    for listener in [&warden, &courier] {
        listener.set_nonblocking(true)?;
    }
    decisions.set_nonblocking(true)?;
    Ok(Sockets {
        warden: tokio::net::UnixListener::from_std(warden)?,
        courier: tokio::net::UnixListener::from_std(courier)?,
        decisions: tokio::net::UnixDatagram::from_std(decisions)?,
        sudo,
    })
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    clear(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn bind_datagrams(path: &Path) -> io::Result<UnixDatagram> {
    clear(path)?;
    let socket = UnixDatagram::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

fn clear(path: &Path) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
