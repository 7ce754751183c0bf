//! What the warden says of itself: the status file, and one line for systemd.

use super::config::mode_word;
use super::status::{self, BundleStatus, CourierStatus, LiveStatus, ReceiptStatus, RefusedStatus, Status};
use super::time;
use super::warden::Warden;

/// Writes the status file. If it cannot be written, nothing else suffers.
pub(super) fn write(warden: &Warden) {
    if let Err(error) = status::write(&warden.paths, &of(warden)) {
        tracing::warn!(%error, "the status cannot be shown");
    }
}

/// One line for `systemctl status`.
pub(super) fn one_line(warden: &Warden) -> String {
    format!(
        "{}, mode {}, {} live grants",
        warden.trust.host,
        mode_word(warden.mode),
        warden.keeper.live().len()
    )
}

fn of(warden: &Warden) -> Status {
    let reading = time::read_clocks();
    let now = reading.as_ref().map_or(0, |reading| warden.moment(reading).now.0);
    let plan = warden.keeper.plan();
    let faults = &warden.faults;
    let journal = warden.journal.status();
    let journal_fault =
        journal.fault.as_ref().map(|f| format!("nothing can be recorded, so nothing new may begin: {f}"));
    let shipping = journal.shipping_stopped.as_ref().map(|why| format!("records are not shipped: {why}"));
    Status {
        format: status::FORMAT,
        at: now,
        mode: mode_word(warden.mode).to_owned(),
        fleet: warden.trust.fleet.to_string(),
        host: warden.trust.host.to_string(),
        bundle: plan.map(|plan| BundleStatus {
            epoch: plan.head.0.epoch,
            version: plan.head.0.version,
            pulse_age: plan.pulse.0.age(stint_grant::time::UnixTime(now)).0,
            locks: plan.head.0.locks.len(),
        }),
        courier: CourierStatus {
            present: warden.courier.is_some(),
            connected: warden.courier.as_ref().is_some_and(|courier| courier.online),
        },
        live: warden
            .keeper
            .live()
            .iter()
            .map(|grant| LiveStatus {
                grant: grant.id().to_string(),
                entitlement: grant.grant.terms.entitlement.to_string(),
                principal: grant.principal().to_string(),
                user: grant.user().to_string(),
                until: grant.until().0,
            })
            .collect(),
        sessions: warden.enforcer.count(),
        refused: plan
            .map(super::intake::Plan::refused)
            .unwrap_or_default()
            .into_iter()
            .map(|(grant, cause)| RefusedStatus { grant: grant.to_string(), cause })
            .collect(),
        receipts: warden
            .desk
            .last()
            .iter()
            .map(|(grant, outcome)| ReceiptStatus { grant: grant.clone(), outcome: outcome.clone() })
            .collect(),
        faults: [
            &faults.machine,
            &faults.config,
            &faults.sudo,
            &faults.ssh,
            &faults.sshd,
            &faults.module,
            &faults.clock,
            &faults.sudo_log,
            &faults.sudo_rs,
            &journal_fault,
            &shipping,
        ]
        .into_iter()
        .flatten()
        .cloned()
        .chain(warden.keeper.fault().map(str::to_owned))
        .chain(warden.outgoing.fault())
        .chain(warden.steward.fault().map(str::to_owned))
        .collect(),
        journal,
    }
}
