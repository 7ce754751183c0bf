use super::*;

fn text(gated: &Gated, allowed: &BTreeMap<&UserName, Forwarding>) -> String {
    super::text(Path::new("/x"), gated, allowed)
}

const ALL: [&str; 5] = [
    "AllowTcpForwarding",
    "AllowStreamLocalForwarding",
    "AllowAgentForwarding",
    "X11Forwarding",
    "PermitTunnel",
];

fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

/// What sshd would forbid to a user, by its own rule: each block that matches counts.
fn forbidden(text: &str, name: &str) -> Vec<String> {
    let mut matches = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(patterns) = line.strip_prefix("Match User ") {
            let negated = patterns.split(',').any(|p| p.strip_prefix('!') == Some(name));
            matches = !negated && patterns.split(',').any(|p| p == "*" || p == name);
        } else if let Some(rule) = line.strip_prefix("    ").filter(|_| matches) {
            let trust =
                rule.starts_with("TrustedUserCAKeys ") || rule.starts_with("AuthorizedPrincipalsFile ");
            found.extend((!trust).then(|| rule.strip_suffix(" no").expect("only ever no").to_owned()));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn everything() -> Vec<String> {
    let mut all = ALL.map(str::to_owned).to_vec();
    all.sort();
    all
}

#[test]
fn whoever_is_gated_forwards_nothing_without_a_grant_that_says_so() {
    let gated = Gated::AllBut(vec!["rescue".to_owned(), "root".to_owned()]);
    let text = text(&gated, &BTreeMap::new());
    assert_eq!(forbidden(&text, "alice"), everything());
    assert_eq!(forbidden(&text, "from-a-directory"), everything());
    assert_eq!(forbidden(&text, "rescue"), Vec::<String>::new());
}

#[test]
fn each_combination_of_what_is_allowed_leaves_the_rest_forbidden() {
    let alice = user("alice");
    for bits in 0..8 {
        let forwarding = Forwarding { port: bits & 1 > 0, agent: bits & 2 > 0, x11: bits & 4 > 0 };
        let allowed = BTreeMap::from([(&alice, forwarding)]);
        for gated in
            [Gated::AllBut(vec!["root".to_owned()]), Gated::Only(vec!["alice".to_owned(), "bob".to_owned()])]
        {
            let text = text(&gated, &allowed);
            let found = forbidden(&text, "alice");
            let is_off = |keyword: &str| found.iter().any(|f| f == keyword);
            assert_eq!(is_off("AllowTcpForwarding"), !forwarding.port, "{text}");
            assert_eq!(is_off("AllowStreamLocalForwarding"), !forwarding.port, "{text}");
            assert_eq!(is_off("AllowAgentForwarding"), !forwarding.agent, "{text}");
            assert_eq!(is_off("X11Forwarding"), !forwarding.x11, "{text}");
            assert!(is_off("PermitTunnel"), "{text}");
            assert_eq!(forbidden(&text, "bob"), everything(), "{text}");
        }
    }
}

#[test]
fn an_account_that_is_not_gated_gets_no_block_of_its_own() {
    let root = user("root");
    let agent = Forwarding { port: false, agent: true, x11: false };
    let text = text(&Gated::AllBut(vec!["root".to_owned()]), &BTreeMap::from([(&root, agent)]));
    assert_eq!(forbidden(&text, "root"), Vec::<String>::new());
}

#[test]
fn where_nobody_is_gated_there_is_no_block() {
    assert_eq!(text(&Gated::Only(Vec::new()), &BTreeMap::new()), HEAD);
}

#[test]
fn our_authority_is_for_gated_accounts_and_another_one_stays_for_the_others() {
    let text = text(&Gated::AllBut(vec!["rescue".to_owned()]), &BTreeMap::new());
    let expected = "Match User *,!rescue\n    TrustedUserCAKeys /x/ca.pub\n    AuthorizedPrincipalsFile /x/principals/%u\n";
    assert!(text.contains(expected), "{text}");
}
