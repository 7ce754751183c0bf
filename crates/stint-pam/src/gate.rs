//! Opening the gate for one account, and deciding.

use stint_grant::decision::{Denial, Permit, Question, Verdict, decide};
use stint_grant::dsse::MAX_ENVELOPE_BYTES;
use stint_grant::gate::{
    Current, GateFiles, MAX_CURRENT_BYTES, MAX_USER_BYTES, OpenGate, generation_dir, user_file,
};
use stint_grant::ids::{Fingerprint, UserName};

use crate::asks::Ask;
use crate::call::Call;
use crate::cause::Cause;
use crate::files::{FileFault, Folder};
use crate::host::{Account, Host};
use crate::settings::Settings;

/// The folder of the gate, from the base.
const FOLDER: &str = "var/lib/stint/gate";
/// A head or root is small; a file that is not, is not ours.
const MAX_SIGNED_BYTES: usize = MAX_ENVELOPE_BYTES;

/// What the gate allows one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Whom.
    pub account: Account,
    /// By which grants.
    pub permit: Permit,
}

/// Asks the gate each question. All must be allowed; the first denial is told, with the account that it is about.
pub fn allows(
    host: &impl Host,
    settings: &Settings,
    call: &Call,
    asks: &[Ask],
    credentials: Option<&[Fingerprint]>,
) -> Result<Vec<Allowed>, (Account, Cause)> {
    asks.iter()
        .map(|ask| {
            let allowed = |permit| Allowed { account: ask.account.clone(), permit };
            let denied = |cause| (ask.account.clone(), cause);
            allow(host, settings, call, ask, credentials).map(allowed).map_err(denied)
        })
        .collect()
}

fn allow(
    host: &impl Host,
    settings: &Settings,
    call: &Call,
    ask: &Ask,
    credentials: Option<&[Fingerprint]>,
) -> Result<Permit, Cause> {
    // An account whose name no grant can bear has none.
    let user = UserName::new(ask.account.name.as_str()).map_err(|_| Cause::from(Denial::NoGrant))?;
    let gate = open(host, &user)?;
    let question = Question { purpose: ask.wants.purpose(&call.service), origin: call.origin(), credentials };
    match decide(&gate, &settings.config, &question) {
        Verdict::Allow(permit) => Ok(permit),
        Verdict::Deny(denial) => Err(denial.into()),
    }
}

/// Opens the gate. If a new generation replaced the one at hand meanwhile, tries once more.
pub fn open(host: &impl Host, user: &UserName) -> Result<OpenGate, Cause> {
    let folder =
        Folder::base(host.base()).and_then(|base| base.descend(FOLDER)).map_err(|fault| unusable(&fault))?;
    let read_current = || folder.read("current", MAX_CURRENT_BYTES).map_err(|fault| unusable(&fault));
    let first = read_current()?;
    match attempt(host, &folder, &first, user) {
        Attempt::Whole(gate) => Ok(*gate),
        part => {
            let second = read_current()?;
            let last = if second == first { part } else { attempt(host, &folder, &second, user) };
            match last {
                Attempt::Whole(gate) | Attempt::WithoutAccount(gate) => Ok(*gate),
                Attempt::Fault(cause) => Err(cause),
            }
        }
    }
}

enum Attempt {
    Whole(Box<OpenGate>),
    /// The account has no file: it has no grant, or the generation is being removed.
    WithoutAccount(Box<OpenGate>),
    Fault(Cause),
}

fn attempt(host: &impl Host, folder: &Folder, current: &[u8], user: &UserName) -> Attempt {
    match read_and_open(host, folder, current, user) {
        Ok((gate, true)) => Attempt::Whole(Box::new(gate)),
        Ok((gate, false)) => Attempt::WithoutAccount(Box::new(gate)),
        Err(cause) => Attempt::Fault(cause),
    }
}

fn read_and_open(
    host: &impl Host,
    folder: &Folder,
    current: &[u8],
    user: &UserName,
) -> Result<(OpenGate, bool), Cause> {
    let current = Current::parse(current).map_err(Cause::gate)?;
    let generation = folder.descend(&generation_dir(current.generation)).map_err(|fault| unusable(&fault))?;
    let root = generation.read("root.json", MAX_SIGNED_BYTES).map_err(|fault| unusable(&fault))?;
    let head = generation.read("head.json", MAX_SIGNED_BYTES).map_err(|fault| unusable(&fault))?;
    let users = generation.descend("users").map_err(|fault| unusable(&fault))?;
    let shard = match users.read(&user_file(user.as_str()), MAX_USER_BYTES) {
        Ok(bytes) => Some(bytes),
        Err(FileFault::Missing(_)) => None,
        Err(fault) => return Err(unusable(&fault)),
    };
    let reading = host.clock().map_err(Cause::gate)?;
    let files = GateFiles { root: &root, head: &head, user: shard.as_deref() };
    let gate = OpenGate::open(&current, &files, user, &reading).map_err(Cause::gate)?;
    Ok((gate, shard.is_some()))
}

fn unusable(fault: &FileFault) -> Cause {
    Cause::gate(format!("the gate cannot be used: {fault}. Run `stintd status` as root"))
}
