//! How far a change has come on the hosts.

use stint_api::grants::{Effect, HostEffect};

use super::safe;

/// Whether nothing more is to be waited for: each host has taken or refused it.
pub(crate) fn is_settled(effect: &Effect) -> bool {
    effect.hosts.iter().all(|h| h.effective_after_ms.is_some() || h.refused.is_some())
}

/// The hosts that refused it.
pub(crate) fn refusals(effect: &Effect) -> Vec<String> {
    let refused = |h: &HostEffect| h.refused.as_ref().map(|why| format!("{}: {}", safe(&h.host), safe(why)));
    effect.hosts.iter().filter_map(refused).collect()
}

/// `effective on 47 of 48 hosts in 0.8 s; no word yet from db-03`.
pub(crate) fn line(effect: &Effect) -> String {
    let all = effect.hosts.len();
    if all == 0 {
        return "concerns no host".to_owned();
    }
    let taken: Vec<_> =
        effect.hosts.iter().filter(|h| h.refused.is_none()).filter_map(|h| h.effective_after_ms).collect();
    let mut text = format!("effective on {} of {all} hosts", taken.len());
    if let Some(slowest) = taken.iter().max() {
        text = format!("{text} in {}", seconds(*slowest));
    }
    let silent: Vec<_> = effect
        .hosts
        .iter()
        .filter(|h| h.effective_after_ms.is_none() && h.refused.is_none())
        .map(|h| safe(&h.host))
        .collect();
    if !silent.is_empty() {
        text = format!("{text}; no word yet from {}", some_of(&silent));
    }
    let refused = refusals(effect);
    if !refused.is_empty() {
        text = format!("{text}; refused by {}", some_of(&refused));
    }
    text
}

fn some_of(names: &[String]) -> String {
    match names.len() {
        0..=5 => names.join(", "),
        n => format!("{} and {} more", names[..5].join(", "), n - 5),
    }
}

/// Milliseconds as tenths of a second; what is less than one is not shown as nothing.
fn seconds(ms: u64) -> String {
    let tenths = ms.div_ceil(100).max(1);
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples::effect;

    #[test]
    fn one_host_that_took_it() {
        let effect = effect(&[("web-01", Some(180), None)]);
        assert_eq!(line(&effect), "effective on 1 of 1 hosts in 0.2 s");
        assert!(is_settled(&effect));
    }

    #[test]
    fn the_slowest_host_gives_the_time() {
        let effect = effect(&[("a", Some(20), None), ("b", Some(801), None)]);
        assert_eq!(line(&effect), "effective on 2 of 2 hosts in 0.9 s");
    }

    #[test]
    fn hosts_without_word_are_named() {
        let effect = effect(&[("a", Some(20), None), ("b", None, None)]);
        assert_eq!(line(&effect), "effective on 1 of 2 hosts in 0.1 s; no word yet from b");
        assert!(!is_settled(&effect));
    }

    #[test]
    fn nothing_has_come_yet() {
        assert_eq!(line(&effect(&[("a", None, None)])), "effective on 0 of 1 hosts; no word yet from a");
    }

    #[test]
    fn a_refusal_is_told_with_its_cause() {
        let effect = effect(&[("a", Some(30), Some("ceiling: full root\x1b"))]);
        assert_eq!(line(&effect), r"effective on 0 of 1 hosts; refused by a: ceiling: full root\u{1b}");
        assert!(is_settled(&effect));
    }

    #[test]
    fn many_silent_hosts_are_counted() {
        let names: Vec<_> = (0..8).map(|i| format!("h{i}")).collect();
        let hosts: Vec<_> = names.iter().map(|n| (n.as_str(), None, None)).collect();
        assert_eq!(
            line(&effect(&hosts)),
            "effective on 0 of 8 hosts; no word yet from h0, h1, h2, h3, h4 and 3 more"
        );
    }

    #[test]
    fn no_host_is_concerned() {
        assert_eq!(line(&effect(&[])), "concerns no host");
    }
}
