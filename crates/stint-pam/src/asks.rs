//! Who is decided on, and what for. Facts in, questions out.

use stint_grant::decision::Purpose;

use crate::call::{Call, Kind};
use crate::cause::Cause;
use crate::host::{Account, Host};
use crate::settings::Settings;

/// One question to the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// About whom.
    pub account: Account,
    /// What for.
    pub wants: Wants,
}

/// What an account wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Log in through the service that calls.
    Login,
    /// Run something through sudo.
    Sudo,
    /// Become root.
    BecomeRoot,
    /// Go on being here: a session inside another.
    Stay,
}

impl Wants {
    /// The same for the decision.
    pub fn purpose(self, service: &str) -> Purpose<'_> {
        match self {
            Self::Login => Purpose::Login { service },
            Self::Sudo => Purpose::Sudo,
            Self::BecomeRoot => Purpose::BecomeRoot,
            Self::Stay => Purpose::Stay,
        }
    }
}

/// Whom a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody whom stint manages here.
    NotOurs,
    /// The break-glass account.
    BreakGlass(Account),
    /// Each of these must be allowed; never empty.
    Asks(Vec<Ask>),
}

/// Whether one account asks to act as another, and the real uid or the application tells which one asks.
fn turns(call: &Call, host: &impl Host) -> bool {
    // polkit's helper is started by who asks, or by systemd: then nobody is known.
    call.kind().elevates() || (call.kind() == Kind::Agent && host.real_uid() != 0)
}

/// Root on the console and root's own su and sudo pass before anything of the host's disk is looked at.
pub fn is_local_root(call: &Call, host: &impl Host) -> bool {
    if turns(call, host) {
        return call.caller.as_deref().is_none_or(|name| name == "root") && host.real_uid() == 0;
    }
    call.user == "root" && !is_remote(call)
}

/// Who gets in though the module cannot decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WayIn {
    /// Root on the console, or root's own su or sudo.
    Root,
    /// A break-glass account.
    BreakGlass(Account),
}

/// Who gets in though the module cannot decide; nobody else does.
pub fn way_in(call: &Call, host: &impl Host, is_break_glass: impl Fn(u32) -> bool) -> Option<WayIn> {
    if is_local_root(call, host) {
        return Some(WayIn::Root);
    }
    let turns = turns(call, host);
    let account = if turns { caller(call, host).ok()? } else { find(host, &call.user).ok()? };
    match account.uid {
        0 => (turns || !is_remote(call)).then_some(WayIn::Root),
        uid => is_break_glass(uid).then_some(WayIn::BreakGlass(account)),
    }
}

fn is_remote(call: &Call) -> bool {
    call.service == "sshd" || call.remote.is_some()
}

/// Finds out whom a call is about.
pub fn who(call: &Call, host: &impl Host, settings: &Settings) -> Result<Who, Cause> {
    if turns(call, host) {
        return elevation(call, host, settings);
    }
    let account = match (find(host, &call.user), settings.gates_anybody(&call.service)) {
        (Ok(account), _) => account,
        // A service that nobody needs a grant for may have users of its own, without an account of the host's.
        (Err(NotFound::NoSuchAccount(_)), false) => return Ok(Who::NotOurs),
        (Err(fault), _) => return Err(fault.into()),
    };
    if account.uid == 0 {
        let refused = is_remote(call) && !settings.config.managed.remote_root;
        return if refused { Err(Cause::remote_root()) } else { Ok(Who::NotOurs) };
    }
    if settings.is_break_glass(account.uid) {
        return Ok(Who::BreakGlass(account));
    }
    Ok(asks([Some(Ask { account, wants: Wants::Login })], call, settings))
}

fn elevation(call: &Call, host: &impl Host, settings: &Settings) -> Result<Who, Cause> {
    let caller = caller(call, host)?;
    if caller.uid == 0 {
        return Ok(Who::NotOurs);
    }
    if settings.is_break_glass(caller.uid) {
        return Ok(Who::BreakGlass(caller));
    }
    if call.kind() == Kind::Sudo {
        return Ok(asks([Some(Ask { account: caller, wants: Wants::Sudo })], call, settings));
    }
    let target = find(host, &call.user)?;
    let itself = target.uid == caller.uid;
    // In its account phase doas names the caller as the target, so the target may be root.
    let root = target.uid == 0 || (itself && call.kind() == Kind::Doas);
    let from = Ask { account: caller, wants: if root { Wants::BecomeRoot } else { Wants::Login } };
    let to = (!itself && target.uid != 0).then_some(Ask { account: target, wants: Wants::Login });
    Ok(asks([Some(from), to], call, settings))
}

/// Who runs sudo, su or doas. Never `PAM_USER`: under `rootpw`, and in the session phase, that is somebody else.
fn caller(call: &Call, host: &impl Host) -> Result<Account, Cause> {
    let uid = host.real_uid();
    if let Some(name) = &call.caller {
        let told = find(host, name)?;
        // Nobody is taken for root on the application's word alone.
        if told.uid != 0 || uid == 0 {
            return Ok(told);
        }
    }
    let unknown = |why: &str| Cause::unknown_account(&format!("uid {uid}"), why);
    host.account_of(uid).map_err(|e| unknown(&e))?.ok_or_else(|| unknown("there is none"))
}

/// Why an account was not found.
enum NotFound {
    NoSuchAccount(Cause),
    Fault(Cause),
}

impl From<NotFound> for Cause {
    fn from(not_found: NotFound) -> Self {
        match not_found {
            NotFound::NoSuchAccount(cause) | NotFound::Fault(cause) => cause,
        }
    }
}

fn find(host: &impl Host, name: &str) -> Result<Account, NotFound> {
    match host.account(name) {
        Ok(Some(account)) => Ok(account),
        Ok(None) => Err(NotFound::NoSuchAccount(Cause::unknown_account(name, "there is none"))),
        Err(fault) => Err(NotFound::Fault(Cause::unknown_account(name, &fault))),
    }
}

fn asks<const N: usize>(asks: [Option<Ask>; N], call: &Call, settings: &Settings) -> Who {
    let gated = |ask: &Ask| settings.gates(ask.account.uid, &call.service);
    let asks: Vec<Ask> = asks.into_iter().flatten().filter(gated).collect();
    if asks.is_empty() { Who::NotOurs } else { Who::Asks(asks) }
}

/// The account in whose session this one opens, if it lives by a grant and is not asked about already.
pub fn surrounding(call: &Call, host: &impl Host, settings: &Settings, who: &Who) -> Option<Surrounding> {
    // A login of its own (sshd, cron, the user's service manager) sets the login uid anew.
    if !call.kind().elevates() {
        return None;
    }
    let uid = host.login_uid()?;
    let known = matches!(who, Who::Asks(asks) if asks.iter().any(|ask| ask.account.uid == uid));
    if known || !settings.lists(&call.service) || !settings.is_managed(uid) {
        return None;
    }
    Some(Surrounding { uid, standing: settings.config.managed.only.iter().any(|only| only.uid == uid) })
}

/// The account in whose session another one opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surrounding {
    /// Its uid.
    pub uid: u32,
    /// Whether it is gated for some services only: then it may be here without a grant.
    pub standing: bool,
}
