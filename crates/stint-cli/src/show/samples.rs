//! One request and one grant that the tests show.

use stint_api::grants::{Effect, GrantView, HostEffect};
use stint_api::requests::RequestView;
use stint_grant::record::CommandRecord;
use stint_grant::rights::login::Forwarding;
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{Arguments, Command, LoginRight, Rights, SudoRule};
use stint_grant::terms::{Class, Terms};
use stint_grant::time::{Seconds, UnixTime};

/// 2026-11-23 14:00:00 UTC.
pub(crate) const NOW: i64 = 1_795_442_400;

fn systemctl(verb: &str) -> SudoRule {
    let arguments = Arguments::Exact(vec![verb.into(), "nginx".into()]);
    let program = Program { path: "/usr/bin/systemctl".into(), arguments };
    SudoRule {
        run_as: "root".parse().unwrap(),
        command: Command::Program(program),
        digest: None,
        noexec: false,
    }
}

/// The terms of alice's request.
pub(crate) fn terms() -> Terms {
    Terms {
        format: Terms::FORMAT,
        fleet: "demo".parse().unwrap(),
        request: "7f3abcdefgh2".parse().unwrap(),
        entitlement: "nginx-restart".parse().unwrap(),
        hosts: vec!["web-01".parse().unwrap()],
        principal: "alice".parse().unwrap(),
        user: "alice".parse().unwrap(),
        class: Class::Routine,
        reason: "OPS-12 certificate rollover".into(),
        ticket: Some("OPS-12".into()),
        rights: Rights {
            login: Some(LoginRight {
                services: vec!["sshd".into()],
                origins: vec![],
                forwarding: Forwarding { port: false, agent: false, x11: false },
            }),
            sudo: vec![systemctl("restart"), systemctl("reload")],
            groups: vec![],
            account: None,
        },
        record: CommandRecord::COMMANDS,
        credentials: vec![],
        not_before: UnixTime(NOW),
        claim_by: UnixTime(NOW + 3600),
        max_window: Seconds(2400),
        max_extension: Seconds(1200),
        max_staleness: Seconds(600),
        idle_limit: None,
        end_on_logout: false,
        codes: Vec::new(),
    }
}

/// The request as the broker shows it, made of these terms.
pub(crate) fn request_of(terms: &Terms) -> RequestView {
    RequestView {
        id: terms.request.to_string(),
        version: 1,
        state: "pending".into(),
        principal: terms.principal.to_string(),
        entitlement: terms.entitlement.to_string(),
        hosts: terms.hosts.iter().map(ToString::to_string).collect(),
        reason: terms.reason.clone(),
        ticket: terms.ticket.clone(),
        created_at: NOW,
        claim_by: terms.claim_by.0,
        window: terms.max_window.0,
        terms: terms.to_text(),
        reviews_needed: 1,
        reviews: vec![],
        cancelled_why: None,
    }
}

/// Alice's request.
pub(crate) fn request() -> RequestView {
    request_of(&terms())
}

/// Alice's grant, active.
pub(crate) fn grant() -> GrantView {
    GrantView {
        receipts: Vec::new(),
        sealed: false,
        openings: Vec::new(),
        id: "7f3abcdefgh2".into(),
        version: 3,
        state: "active".into(),
        principal: "alice".into(),
        user: "alice".into(),
        entitlement: "nginx-restart".into(),
        hosts: vec!["web-01".into()],
        claim_by: NOW + 3600,
        from: Some(NOW),
        until: Some(NOW + 2400),
        extension_left: 1200,
        ended_by: None,
        end_reason: None,
        effect: effect(&[("web-01", Some(200), None)]),
    }
}

/// An effect: host, milliseconds, refusal.
pub(crate) fn effect(hosts: &[(&str, Option<u64>, Option<&str>)]) -> Effect {
    let hosts = hosts.iter().map(|&(host, effective_after_ms, refused)| HostEffect {
        host: host.into(),
        effective_after_ms,
        refused: refused.map(str::to_owned),
    });
    Effect { hosts: hosts.collect() }
}
