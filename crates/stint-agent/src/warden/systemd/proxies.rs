//! The D-Bus interfaces, as far as they are used. Written here: the published bindings for logind are stale.

use zbus::{OwnedObjectPath, Variant};

/// A property of a unit that is to be started.
pub(super) type Property<'a> = (&'a str, Variant<'a>);
/// Auxiliary units of a transient unit: none, ever.
pub(super) type Auxiliary<'a> = (&'a str, Vec<Property<'a>>);

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(super) trait SystemdManager {
    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        properties: &[Property<'_>],
        auxiliary: &[Auxiliary<'_>],
    ) -> zbus::Result<OwnedObjectPath>;
    fn reload_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn get_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    fn reload(&self) -> zbus::Result<()>;
}

#[zbus::proxy(interface = "org.freedesktop.systemd1.Unit", default_service = "org.freedesktop.systemd1")]
pub(super) trait SystemdUnit {
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_enter_timestamp_monotonic(&self) -> zbus::Result<u64>;
}

#[zbus::proxy(interface = "org.freedesktop.systemd1.Service", default_service = "org.freedesktop.systemd1")]
pub(super) trait SystemdService {
    #[zbus(property(emits_changed_signal = "false"), name = "MainPID")]
    fn main_pid(&self) -> zbus::Result<u32>;
}

#[zbus::proxy(interface = "org.freedesktop.systemd1.Scope", default_service = "org.freedesktop.systemd1")]
pub(super) trait SystemdScope {
    #[zbus(property(emits_changed_signal = "false"), name = "RuntimeMaxUSec")]
    fn runtime_max_usec(&self) -> zbus::Result<u64>;
}

#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
pub(super) trait LogindManager {
    fn terminate_session(&self, id: &str) -> zbus::Result<()>;
    fn terminate_user(&self, uid: u32) -> zbus::Result<()>;
    fn set_user_linger(&self, uid: u32, enable: bool, interactive: bool) -> zbus::Result<()>;
    /// Id, uid, name, seat and path of each.
    fn list_sessions(&self) -> zbus::Result<Vec<(String, u32, String, String, OwnedObjectPath)>>;
}

#[zbus::proxy(interface = "org.freedesktop.login1.Session", default_service = "org.freedesktop.login1")]
pub(super) trait LogindSession {
    #[zbus(property(emits_changed_signal = "false"))]
    fn leader(&self) -> zbus::Result<u32>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn scope(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"), name = "TTY")]
    fn tty(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn service(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn remote_host(&self) -> zbus::Result<String>;
}
