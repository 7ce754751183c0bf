//! The calls, each with its bound.

use std::future::Future;
use std::time::Duration;

use zbus::{Connection, OwnedObjectPath, Variant};

use super::proxies::{
    LogindManagerProxy, LogindSessionProxy, Property, SystemdManagerProxy, SystemdScopeProxy,
    SystemdServiceProxy, SystemdUnitProxy,
};

/// No call waits longer, but for a registration on a host that is told to be patient; see its caller.
const BOUND: Duration = Duration::from_secs(1);
/// A reload reads every unit file of the host.
const RELOAD_BOUND: Duration = Duration::from_secs(10);

/// Why systemd or logind did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BusError {
    /// The bus refused, or the peer did.
    #[error("{what}: {cause}")]
    Call {
        /// What was asked.
        what: String,
        /// The answer.
        cause: String,
    },
    /// No answer in time.
    #[error("{what}: no answer within {} ms", bound.as_millis())]
    Silent {
        /// What was asked.
        what: String,
        /// How long was waited.
        bound: Duration,
    },
}

/// A scope that is to be started around one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScopeRequest {
    /// The unit's name.
    pub(crate) name: String,
    /// What it is, for `systemctl status`.
    pub(crate) description: String,
    /// The process that it takes in.
    pub(crate) pid: u32,
    /// PID 1 ends it after this long.
    pub(crate) runtime_max: Duration,
    /// How long PID 1 may take to answer, if more than other calls.
    pub(crate) bound: Duration,
}

/// What PID 1 knows of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScopeFacts {
    /// When it began, on `CLOCK_MONOTONIC`, in microseconds.
    pub(crate) began_monotonic_us: u64,
    /// How long it may run, in microseconds; `u64::MAX` without a limit.
    pub(crate) runtime_max_us: u64,
}

/// A session that logind knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogindSession {
    /// Its id.
    pub(crate) id: String,
    /// Whose it is.
    pub(crate) uid: u32,
    /// The account's name.
    pub(crate) user: String,
    /// The process that opened it.
    pub(crate) leader: u32,
    /// Its scope.
    pub(crate) scope: String,
    /// Its terminal, if any.
    pub(crate) tty: Option<String>,
    /// The PAM service.
    pub(crate) service: String,
    /// The remote host, if any.
    pub(crate) origin: Option<String>,
}

/// The system bus, connected when it is needed.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    connection: Option<Connection>,
}

impl Bus {
    /// Starts a scope around a process, in `stint.slice`, with PID 1's own limit on it.
    pub(crate) async fn start_scope(&mut self, request: &ScopeRequest) -> Result<(), BusError> {
        let what = format!("starting {}", request.name);
        let limit = u64::try_from(request.runtime_max.as_micros()).unwrap_or(u64::MAX);
        let properties = [
            ("Description", Variant::from(request.description.as_str())),
            ("PIDs", Variant::from(vec![request.pid])),
            ("Slice", Variant::from("stint.slice")),
            ("RuntimeMaxUSec", Variant::from(limit)),
            // Without these, what ignores TERM lives 90 s longer, and a shell without a job lives on.
            ("TimeoutStopUSec", Variant::from(500_000_u64)),
            ("SendSIGHUP", Variant::from(true)),
            ("CollectMode", Variant::from("inactive-or-failed")),
            // The groups below are ours. No controller is asked for, so none is turned on for it.
            ("DelegateControllers", Variant::from(Vec::<&str>::new())),
        ];
        let was_connected = self.connection.is_some();
        let started = self.start_transient(&what, request, &properties).await;
        if matches!(started, Err(BusError::Call { .. })) && was_connected && self.connection.is_none() {
            // The bus was restarted since the last call. Nobody's sudo is refused for that.
            return self.start_transient(&what, request, &properties).await;
        }
        started
    }

    async fn start_transient(
        &mut self,
        what: &str,
        request: &ScopeRequest,
        properties: &[Property<'_>],
    ) -> Result<(), BusError> {
        let connection = self.connection(what).await?;
        let call = async {
            let manager = SystemdManagerProxy::new(&connection).await?;
            manager.start_transient_unit(&request.name, "fail", properties, &[]).await
        };
        self.bounded(what, request.bound.max(BOUND), call).await.map(drop)
    }

    /// Asks PID 1 to start a unit. Returns when the job is queued.
    pub(crate) async fn start_unit(&mut self, name: &str) -> Result<(), BusError> {
        let what = format!("starting {name}");
        let connection = self.connection(&what).await?;
        let call = async {
            let manager = SystemdManagerProxy::new(&connection).await?;
            manager.start_unit(name, "replace").await
        };
        self.bounded(&what, BOUND, call).await.map(drop)
    }

    /// Whether a unit is starting, running or stopping.
    pub(crate) async fn is_at_it(&mut self, name: &str) -> Result<bool, BusError> {
        let what = format!("looking at {name}");
        let connection = self.connection(&what).await?;
        let call = async {
            let Some(path) = loaded(&connection, name).await? else { return Ok(false) };
            let unit = SystemdUnitProxy::builder(&connection).path(&path).build().await?;
            Ok(!matches!(unit.active_state().await?.as_str(), "inactive" | "failed"))
        };
        self.bounded(&what, BOUND, call).await
    }

    /// Takes a unit off the list of what failed.
    pub(crate) async fn reset_failed(&mut self, name: &str) -> Result<(), BusError> {
        let what = format!("resetting {name}");
        let connection = self.connection(&what).await?;
        let call = async { SystemdManagerProxy::new(&connection).await?.reset_failed_unit(name).await };
        self.bounded(&what, BOUND, call).await
    }

    /// Makes PID 1 read its unit files anew.
    pub(crate) async fn reload(&mut self) -> Result<(), BusError> {
        let what = "reloading the units of PID 1";
        let connection = self.connection(what).await?;
        let call = async { SystemdManagerProxy::new(&connection).await?.reload().await };
        self.bounded(what, RELOAD_BOUND, call).await
    }

    /// The main process of a service; `None` if it does not run.
    pub(crate) async fn main_pid(&mut self, name: &str) -> Result<Option<u32>, BusError> {
        let what = format!("looking at {name}");
        let connection = self.connection(&what).await?;
        let call = async {
            let Some(path) = loaded(&connection, name).await? else { return Ok(None) };
            let unit = SystemdUnitProxy::builder(&connection).path(&path).build().await?;
            if !matches!(unit.active_state().await?.as_str(), "active" | "reloading") {
                return Ok(None);
            }
            let service = SystemdServiceProxy::builder(&connection).path(&path).build().await?;
            let pid = service.main_pid().await?;
            Ok((pid != 0).then_some(pid))
        };
        self.bounded(&what, BOUND, call).await
    }

    /// Has a service read its configuration anew.
    pub(crate) async fn reload_unit(&mut self, name: &str) -> Result<(), BusError> {
        let what = format!("reloading {name}");
        let connection = self.connection(&what).await?;
        let call = async { SystemdManagerProxy::new(&connection).await?.reload_unit(name, "replace").await };
        self.bounded(&what, BOUND, call).await.map(drop)
    }

    /// What PID 1 knows of a scope; `None` if it is not active.
    pub(crate) async fn scope(&mut self, name: &str) -> Result<Option<ScopeFacts>, BusError> {
        let what = format!("looking at {name}");
        let connection = self.connection(&what).await?;
        let call = async {
            let Some(path) = loaded(&connection, name).await? else { return Ok(None) };
            let unit = SystemdUnitProxy::builder(&connection).path(&path).build().await?;
            if unit.active_state().await? != "active" {
                return Ok(None);
            }
            let scope = SystemdScopeProxy::builder(&connection).path(&path).build().await?;
            Ok(Some(ScopeFacts {
                began_monotonic_us: unit.active_enter_timestamp_monotonic().await?,
                runtime_max_us: scope.runtime_max_usec().await?,
            }))
        };
        self.bounded(&what, BOUND, call).await
    }

    /// Ends a session of logind's: TERM and HUP to all in its scope.
    pub(crate) async fn terminate_session(&mut self, id: &str) -> Result<(), BusError> {
        let what = format!("terminating session {id}");
        let connection = self.connection(&what).await?;
        let call = async { LogindManagerProxy::new(&connection).await?.terminate_session(id).await };
        self.bounded(&what, BOUND, call).await
    }

    /// Ends all sessions of a user, and the user's own service manager.
    pub(crate) async fn terminate_user(&mut self, uid: u32) -> Result<(), BusError> {
        let what = format!("terminating user {uid}");
        let connection = self.connection(&what).await?;
        let call = async { LogindManagerProxy::new(&connection).await?.terminate_user(uid).await };
        self.bounded(&what, BOUND, call).await
    }

    /// Takes away that a user's own service manager runs without a session.
    pub(crate) async fn stop_lingering(&mut self, uid: u32) -> Result<(), BusError> {
        let what = format!("taking away the lingering of user {uid}");
        let connection = self.connection(&what).await?;
        let call =
            async { LogindManagerProxy::new(&connection).await?.set_user_linger(uid, false, false).await };
        self.bounded(&what, BOUND, call).await
    }

    /// All sessions that logind knows.
    pub(crate) async fn sessions(&mut self) -> Result<Vec<LogindSession>, BusError> {
        let what = "listing sessions";
        let connection = self.connection(what).await?;
        let call = async {
            let listed = LogindManagerProxy::new(&connection).await?.list_sessions().await?;
            let mut sessions = Vec::new();
            for (id, uid, user, _, path) in listed {
                // One that ended in between is no error.
                if let Ok(session) = describe(&connection, id, uid, user, &path).await {
                    sessions.push(session);
                }
            }
            Ok(sessions)
        };
        self.bounded(what, BOUND, call).await
    }

    async fn connection(&mut self, what: &str) -> Result<Connection, BusError> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let connection = self.bounded(what, BOUND, Connection::system()).await?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// Waits within the bound. After silence, or a fault of the connection, the next call connects anew.
    async fn bounded<T>(
        &mut self,
        what: &str,
        bound: Duration,
        call: impl Future<Output = zbus::Result<T>>,
    ) -> Result<T, BusError> {
        match tokio::time::timeout(bound, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if !matches!(error, zbus::Error::MethodError(..)) {
                    self.connection = None;
                }
                Err(BusError::Call { what: what.to_owned(), cause: error.to_string() })
            }
            Err(_) => {
                self.connection = None;
                Err(BusError::Silent { what: what.to_owned(), bound })
            }
        }
    }
}

/// The object of a unit; `None` if PID 1 has not loaded it.
async fn loaded(connection: &Connection, name: &str) -> zbus::Result<Option<OwnedObjectPath>> {
    match SystemdManagerProxy::new(connection).await?.get_unit(name).await {
        Ok(path) => Ok(Some(path)),
        Err(zbus::Error::MethodError(error, ..))
            if error.as_str() == "org.freedesktop.systemd1.NoSuchUnit" =>
        {
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

async fn describe(
    connection: &Connection,
    id: String,
    uid: u32,
    user: String,
    path: &OwnedObjectPath,
) -> zbus::Result<LogindSession> {
    let session = LogindSessionProxy::builder(connection).path(path).build().await?;
    let some = |text: String| (!text.is_empty()).then_some(text);
    Ok(LogindSession {
        leader: session.leader().await?,
        scope: session.scope().await?,
        tty: some(session.tty().await?),
        service: session.service().await?,
        origin: some(session.remote_host().await?),
        id,
        uid,
        user,
    })
}
