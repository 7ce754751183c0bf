//! What is to be done for a login, from what the caller has. Pure.

use stint_api::grants::GrantView;
use stint_api::requests::RequestView;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// There is an active grant.
    Use(&'a GrantView),
    /// There is an approved one whose window has not begun.
    Activate(&'a GrantView),
    /// A request waits for reviews.
    Wait(&'a RequestView),
    /// Nothing to use.
    Ask,
}

/// The nearest to a login comes first; of several grants the one that lasts longest. `entitlement` narrows it.
pub(super) fn next<'a>(
    grants: &'a [GrantView],
    requests: &'a [RequestView],
    host: &str,
    entitlement: Option<&str>,
) -> Next<'a> {
    let fits = |hosts: &[String], name: &str| {
        hosts.iter().any(|h| h == host) && entitlement.is_none_or(|wanted| wanted == name)
    };
    let in_state = |state: &'static str| {
        // What is sealed is no way in until its host has seen a code.
        grants.iter().filter(move |g| !g.sealed && g.state == state && fits(&g.hosts, &g.entitlement))
    };
    if let Some(grant) = in_state("active").max_by_key(|g| g.until) {
        return Next::Use(grant);
    }
    if let Some(grant) = in_state("claimable").max_by_key(|g| g.claim_by) {
        return Next::Activate(grant);
    }
    let pending = |r: &&RequestView| r.state == "pending" && fits(&r.hosts, &r.entitlement);
    requests.iter().find(pending).map_or(Next::Ask, Next::Wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples;

    fn grant(id: &str, state: &str, until: i64) -> GrantView {
        let mut grant = samples::grant();
        (grant.id, grant.state, grant.until) = (id.into(), state.into(), Some(until));
        grant.hosts = vec!["web-01".into()];
        grant.entitlement = "nginx-restart".into();
        grant
    }
    fn chosen(grants: &[GrantView], host: &str, entitlement: Option<&str>) -> String {
        match next(grants, &[], host, entitlement) {
            Next::Use(g) => format!("use {}", g.id),
            Next::Activate(g) => format!("activate {}", g.id),
            Next::Wait(r) => format!("wait {}", r.id),
            Next::Ask => "ask".to_owned(),
        }
    }

    #[test]
    fn the_active_grant_that_lasts_longest_is_used() {
        let grants = [
            grant("short", "active", 10),
            grant("long", "active", 20),
            grant("over", "expired", 90),
            grant("next", "claimable", 99),
        ];
        assert_eq!(chosen(&grants, "web-01", None), "use long");
        assert_eq!(chosen(&grants[2..], "web-01", None), "activate next");
        assert_eq!(chosen(&grants[2..3], "web-01", None), "ask");
    }

    #[test]
    fn a_grant_for_another_host_or_entitlement_is_not_used() {
        let grants = [grant("one", "active", 10)];
        assert_eq!(chosen(&grants, "web-02", None), "ask");
        assert_eq!(chosen(&grants, "web-01", Some("web-root")), "ask");
        assert_eq!(chosen(&grants, "web-01", Some("nginx-restart")), "use one");
    }

    #[test]
    fn a_request_that_waits_is_waited_for_and_not_made_again() {
        let mut request = samples::request();
        (request.state, request.hosts) = ("pending".into(), vec!["web-01".into()]);
        assert!(matches!(next(&[], std::slice::from_ref(&request), "web-01", None), Next::Wait(_)));
        request.state = "denied".into();
        assert!(matches!(next(&[], std::slice::from_ref(&request), "web-01", None), Next::Ask));
    }
}
