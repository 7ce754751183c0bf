//! The checks before arming: what was found on the host, judged. Pure; the finding is in [`super::facts`].

use std::fmt;

use stint_grant::host_config::HostConfig;
use stint_grant::time::Seconds;

/// The least systemd: `RuntimeMaxSec` on session scopes, which ends sessions with our agent dead.
const LEAST_SYSTEMD: u32 = 244;
/// The least sudo: `NOTAFTER` in drop-ins.
const LEAST_SUDO: (u32, u32) = (1, 8);

/// What was found on the host.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Whether an identity key and the trust are there, and whether they can be read.
    pub(crate) enrolled: Result<(), String>,
    /// systemd's version.
    pub(crate) systemd: Option<u32>,
    /// Whether logind runs.
    pub(crate) logind: bool,
    /// Whether cgroups are version 2 alone.
    pub(crate) cgroup_v2: bool,
    /// Whether the kernel has `cgroup.kill`.
    pub(crate) cgroup_kill: bool,
    /// What sshd says about `UsePAM`; `None` without sshd.
    pub(crate) sshd: Option<Result<bool, String>>,
    /// What it says about `KbdInteractiveAuthentication`; `None` without sshd.
    pub(crate) sshd_asks: Option<bool>,
    /// Whether it shuts out addresses whose logins are denied, without an exception; `None` without sshd.
    pub(crate) sshd_penalises: Option<bool>,
    /// Whether the PAM profiles are installed.
    pub(crate) profiles: bool,
    /// Whether the module's file is where PAM looks.
    pub(crate) module: bool,
    /// The warden's state, as systemd says it.
    pub(crate) warden: String,
    /// The courier's.
    pub(crate) courier: String,
    /// The age of the gate's newest pulse, or why it cannot be opened.
    pub(crate) gate: Option<Result<Seconds, String>>,
    /// `host.toml`.
    pub(crate) config: Option<Result<HostConfig, String>>,
    /// Ways in that need no grant, in words.
    pub(crate) ways_in: Vec<String>,
    /// What `visudo -c` says; `None` without sudo.
    pub(crate) sudoers: Option<Result<(), String>>,
    /// The first line of `sudo --version`.
    pub(crate) sudo: Option<String>,
    /// Gated services whose PAM file never asks the gate.
    pub(crate) past_the_gate: Vec<String>,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Good.
    Ok,
    /// Worth knowing; it does not stop anything.
    Warn,
    /// It must be mended first.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What was looked at.
    pub(crate) what: &'static str,
    /// How it came out.
    pub(crate) outcome: Outcome,
    /// What was found.
    pub(crate) found: String,
    /// What to do.
    pub(crate) next: Option<&'static str>,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Ok => "ok  ",
            Outcome::Warn => "warn",
            Outcome::Fail => "FAIL",
        };
        write!(f, "  {outcome}  {}: {}", self.what, self.found)?;
        self.next.map_or(Ok(()), |next| write!(f, "\n        {next}"))
    }
}

fn check(what: &'static str, good: bool, found: impl Into<String>, next: &'static str) -> Check {
    let outcome = if good { Outcome::Ok } else { Outcome::Fail };
    Check { what, outcome, found: found.into(), next: (!good).then_some(next) }
}

fn warn(what: &'static str, good: bool, found: impl Into<String>, next: &'static str) -> Check {
    let outcome = if good { Outcome::Ok } else { Outcome::Warn };
    Check { what, outcome, found: found.into(), next: (!good).then_some(next) }
}

/// Judges what was found.
pub(crate) fn judge(facts: &Facts) -> Vec<Check> {
    let yes_no = |yes: bool| if yes { "yes" } else { "no" };
    let mut checks = vec![
        check(
            "enrolled",
            facts.enrolled.is_ok(),
            facts.enrolled.clone().err().unwrap_or_else(|| "yes".to_owned()),
            "enrol this host first: stintd enroll --broker URL --token -",
        ),
        check(
            "systemd",
            facts.systemd.is_some_and(|v| v >= LEAST_SYSTEMD),
            facts.systemd.map_or("not found".to_owned(), |v| format!("version {v}")),
            "version 244 or later is needed: it is what ends sessions when nothing of stint is alive",
        ),
        check("logind", facts.logind, yes_no(facts.logind), "start it: systemctl start systemd-logind"),
        check(
            "cgroup version 2",
            facts.cgroup_v2,
            yes_no(facts.cgroup_v2),
            "boot with systemd.unified_cgroup_hierarchy=1",
        ),
        check(
            "cgroup.kill",
            facts.cgroup_kill,
            yes_no(facts.cgroup_kill),
            "Linux 5.14 or later is needed: without it a process that forks fast can outrun its end",
        ),
        check(
            "PAM profiles",
            facts.profiles,
            if facts.profiles { "installed" } else { "not in /usr/share/pam-configs" },
            "install the package stint-host again",
        ),
        check(
            "PAM module",
            facts.module,
            if facts.module { "installed" } else { "pam_stint.so is not where PAM looks" },
            "install the package stint-host again: without the file PAM skips the gate",
        ),
        check("warden", facts.warden == "active", &*facts.warden, "see journalctl -u stint-warden"),
        check("courier", facts.courier == "active", &*facts.courier, "see journalctl -u stint-courier"),
    ];
    checks.push(sshd(facts));
    checks.extend(penalties(facts));
    checks.extend(codes(facts));
    checks.push(config(facts));
    checks.push(gate(facts));
    checks.push(way_in(facts));
    checks.extend(sudo(facts));
    checks.push(warn(
        "gated services",
        facts.past_the_gate.is_empty(),
        if facts.past_the_gate.is_empty() {
            "each that is here asks common-account".to_owned()
        } else {
            format!("{} in /etc/pam.d do not ask common-account", facts.past_the_gate.join(", "))
        },
        "they are not gated: add `@include common-account` to their files, or take them out of host.toml",
    ));
    checks
}

fn sshd(facts: &Facts) -> Check {
    let next = "set `UsePAM yes` in /etc/ssh/sshd_config and reload sshd: without it sshd never asks";
    match &facts.sshd {
        None => check("sshd UsePAM", true, "no sshd on this host", ""),
        Some(Ok(yes)) => check("sshd UsePAM", *yes, if *yes { "yes" } else { "no" }, next),
        Some(Err(why)) => {
            check("sshd UsePAM", false, format!("`sshd -T` failed: {why}"), "mend sshd's configuration")
        }
    }
}

/// `sshd_config(5)`: with `PerSourcePenalties` an address is turned away for what was denied to it, whoever asks there next.
fn penalties(facts: &Facts) -> Option<Check> {
    let penalises = facts.sshd_penalises?;
    Some(warn(
        "sshd penalties",
        !penalises,
        if penalises {
            "sshd turns away for minutes an address with a few denials, the break-glass account's logins too"
        } else {
            "none, or with exceptions"
        },
        "name the addresses that many people share, or that must always get in (bastions), in sshd's `PerSourcePenaltyExemptList`",
    ))
}

/// Where break-glass codes are taken, somebody must be able to type one.
fn codes(facts: &Facts) -> Option<Check> {
    let takes_codes =
        facts.config.as_ref().is_some_and(|c| c.as_ref().is_ok_and(|c| c.ceiling.break_glass.codes));
    let asks = facts.sshd_asks.filter(|_| takes_codes)?;
    Some(warn(
        "break-glass codes",
        asks,
        if asks { "sshd asks for them" } else { "sshd does not ask for them, the console does" },
        "set `KbdInteractiveAuthentication yes` in sshd's configuration: by key and by sshd's own password method nobody can be asked",
    ))
}

fn config(facts: &Facts) -> Check {
    let next = "mend it, then run `stintd check-config`";
    match &facts.config {
        Some(Ok(_)) => check("host.toml", true, "good", next),
        Some(Err(why)) => check("host.toml", false, why.clone(), next),
        None => check("host.toml", false, "there is none", next),
    }
}

fn gate(facts: &Facts) -> Check {
    let next = "wait for the broker, or see journalctl -u stint-warden -u stint-courier";
    let limit = match &facts.config {
        Some(Ok(config)) => config.limits.staleness,
        _ => HostConfig::default().limits.staleness,
    };
    match &facts.gate {
        None => check("gate", false, "there is none yet: nothing came from the broker", next),
        Some(Err(why)) => check("gate", false, why.clone(), next),
        Some(Ok(age)) => {
            check("gate", *age <= limit, format!("its newest pulse is {age} old (limit {limit})"), next)
        }
    }
}

fn way_in(facts: &Facts) -> Check {
    let good = !facts.ways_in.is_empty();
    let found = if good { facts.ways_in.join(", ") } else { "none".to_owned() };
    check(
        "a way back in",
        good,
        found,
        "set managed.break_glass_uid in host.toml to an account with a password or an SSH key, or give root a password for the console",
    )
}

fn sudo(facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(sudoers) = &facts.sudoers {
        let found = sudoers.clone().err().unwrap_or_else(|| "`visudo -c` is content".to_owned());
        checks.push(check(
            "sudoers",
            sudoers.is_ok(),
            found,
            "mend it: a drop-in beside a broken file is not read",
        ));
    }
    let Some(version) = &facts.sudo else {
        checks.push(warn("sudo", false, "not installed", "grants of sudo will have no effect on this host"));
        return checks;
    };
    checks.push(match sudo_version(version) {
        Some(found) => check(
            "sudo",
            found >= LEAST_SUDO,
            version.clone(),
            "sudo 1.8.20 or later is needed: it knows NOTAFTER, the end of a rule",
        ),
        None => warn(
            "sudo",
            false,
            version.clone(),
            "not the original sudo: rules end when the warden removes them, not by themselves",
        ),
    });
    checks
}

/// Major and minor version of the original sudo; `None` for another implementation.
fn sudo_version(line: &str) -> Option<(u32, u32)> {
    let mut parts = line.strip_prefix("Sudo version ")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Whether nothing stands in the way.
pub(crate) fn all_pass(checks: &[Check]) -> bool {
    checks.iter().all(|c| c.outcome != Outcome::Fail)
}

/// Whether all that stands in the way is what comes by itself on a host that was enrolled just now.
pub(crate) fn may_settle(checks: &[Check]) -> bool {
    let mut failed = checks.iter().filter(|c| c.outcome == Outcome::Fail).peekable();
    failed.peek().is_some() && failed.all(|c| ["warden", "courier", "gate"].contains(&c.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            enrolled: Ok(()),
            systemd: Some(252),
            logind: true,
            cgroup_v2: true,
            cgroup_kill: true,
            sshd: Some(Ok(true)),
            sshd_asks: Some(false),
            sshd_penalises: Some(false),
            profiles: true,
            module: true,
            warden: "active".to_owned(),
            courier: "active".to_owned(),
            gate: Some(Ok(Seconds(10))),
            config: Some(Ok(HostConfig::default())),
            ways_in: vec!["root on the console".to_owned()],
            sudoers: Some(Ok(())),
            sudo: Some("Sudo version 1.9.13p3".to_owned()),
            past_the_gate: Vec::new(),
        }
    }
    fn failed(change: impl FnOnce(&mut Facts)) -> Vec<&'static str> {
        let mut facts = good();
        change(&mut facts);
        let checks = judge(&facts);
        let failed: Vec<_> = checks.iter().filter(|c| c.outcome == Outcome::Fail).map(|c| c.what).collect();
        assert_eq!(failed.is_empty(), all_pass(&checks));
        assert!(checks.iter().all(|c| (c.outcome == Outcome::Ok) == c.next.is_none()), "{checks:?}");
        failed
    }

    #[test]
    fn a_good_host_passes_every_check() {
        assert!(judge(&good()).iter().all(|c| c.outcome == Outcome::Ok), "{:#?}", judge(&good()));
    }
    #[test]
    fn each_fault_is_found_by_its_own_check() {
        assert_eq!(failed(|f| f.enrolled = Err("not enrolled".to_owned())), ["enrolled"]);
        assert_eq!(failed(|f| f.systemd = Some(243)), ["systemd"]);
        assert_eq!(failed(|f| f.systemd = None), ["systemd"]);
        assert_eq!(failed(|f| f.logind = false), ["logind"]);
        assert_eq!(failed(|f| f.cgroup_v2 = false), ["cgroup version 2"]);
        assert_eq!(failed(|f| f.cgroup_kill = false), ["cgroup.kill"]);
        assert_eq!(failed(|f| f.profiles = false), ["PAM profiles"]);
        assert_eq!(failed(|f| f.module = false), ["PAM module"]);
        assert_eq!(failed(|f| f.warden = "failed".to_owned()), ["warden"]);
        assert_eq!(failed(|f| f.courier = "activating".to_owned()), ["courier"]);
        assert_eq!(failed(|f| f.sshd = Some(Ok(false))), ["sshd UsePAM"]);
        assert_eq!(failed(|f| f.sshd = Some(Err("bad".to_owned()))), ["sshd UsePAM"]);
        assert_eq!(failed(|f| f.gate = None), ["gate"]);
        assert_eq!(failed(|f| f.gate = Some(Err("torn".to_owned()))), ["gate"]);
        assert_eq!(failed(|f| f.gate = Some(Ok(Seconds(901)))), ["gate"]);
        assert_eq!(failed(|f| f.config = Some(Err("line 3".to_owned()))), ["host.toml"]);
        assert_eq!(failed(|f| f.config = None), ["host.toml"]);
        assert_eq!(failed(|f| f.ways_in.clear()), ["a way back in"]);
        assert_eq!(failed(|f| f.sudoers = Some(Err("syntax".to_owned()))), ["sudoers"]);
        assert_eq!(failed(|f| f.sudo = Some("Sudo version 1.7.4".to_owned())), ["sudo"]);
    }
    #[test]
    fn only_services_and_news_are_waited_for() {
        let may = |change: fn(&mut Facts)| {
            let mut facts = good();
            change(&mut facts);
            may_settle(&judge(&facts))
        };
        assert!(may(|f| f.gate = None));
        assert!(may(|f| f.courier = "activating".to_owned()));
        assert!(!may(|_| ()));
        assert!(!may(|f| {
            f.gate = None;
            f.ways_in.clear();
        }));
    }
    #[test]
    fn what_is_only_worth_knowing_does_not_stop() {
        assert!(failed(|f| f.sudo = Some("sudo-rs 0.2.8".to_owned())).is_empty());
        assert!(failed(|f| f.sudo = None).is_empty());
        assert!(failed(|f| f.sshd = None).is_empty());
        let takes_codes = || HostConfig::parse("[ceiling.break_glass]\ncodes = true\n");
        assert!(failed(|f| f.config = Some(takes_codes().map_err(|e| e.to_string()))).is_empty());
        assert!(failed(|f| f.past_the_gate = vec!["doas".to_owned()]).is_empty());
        assert!(failed(|f| f.sshd_penalises = Some(true)).is_empty());
        let told = judge(&Facts { sshd_penalises: Some(true), ..good() });
        assert!(told.iter().any(|c| c.outcome == Outcome::Warn && c.what == "sshd penalties"), "{told:?}");
    }
    #[test]
    fn a_check_says_what_to_do_only_when_there_is_something_to_do() {
        let ok = check("x", true, "yes", "do this").to_string();
        let not = check("x", false, "no", "do this").to_string();
        assert!(ok.contains("ok") && !ok.contains("do this"));
        assert!(not.contains("FAIL") && not.contains("do this"));
    }
}
