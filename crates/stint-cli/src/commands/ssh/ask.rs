//! The denied login asks for what it lacks, and waits for it.

use stint_api::grants::GrantView;
use stint_api::people::EntitlementView;
use stint_api::requests::{NewRequest, RequestView};
use stint_grant::ids::HostName;

use crate::args::SshArgs;
use crate::commands::request;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Output, note};
use crate::session::{Session, now};
use crate::{check, duration, prompt, show, wait};

/// Makes a request, waits for its reviews, and starts its window.
pub(super) async fn request(
    session: &mut Session,
    host: &HostName,
    args: &SshArgs,
    output: Output,
) -> Outcome<GrantView> {
    let mut entitlements = session.client().entitlements().await?;
    entitlements.retain(|e| e.hosts.iter().any(|h| h == host.as_str()));
    if entitlements.is_empty() {
        return Err(Failure::new(
            Exit::Denied,
            format!("{host}: you have no grant, and may request none here"),
        )
        .next("see what you may request, and where: stint entitlement ls"));
    }
    let asked = wanted(host, &entitlements, args)?;
    let fleet = session.pinned_root().await?.map(|root| root.fleet.clone());
    let made = session.client().request(&asked).await?;
    let terms = check::answer(&asked, session.principal(), fleet.as_ref(), &made, now())?;
    note(&format!(
        "Request {}. The host will enforce:\n{}",
        show::safe(&made.id),
        show::terms::in_words(&terms, now()).trim_end()
    ));
    wait(session, made, args.timeout, output).await
}

/// Waits for the reviews of a request, and starts its window.
pub(super) async fn wait(
    session: &mut Session,
    made: RequestView,
    timeout: Option<u64>,
    output: Output,
) -> Outcome<GrantView> {
    let made = wait::for_reviews(session, made, timeout, output).await?;
    request::judge(&made, true)?;
    session.fresh().await?;
    Ok(session.client().activate(&made.id).await?)
}

/// What to ask for: from the command line, and from the terminal what that does not say.
fn wanted(host: &HostName, entitlements: &[EntitlementView], args: &SshArgs) -> Outcome<NewRequest> {
    let names: Vec<&str> = entitlements.iter().map(|e| e.name.as_str()).collect();
    let offer = offer(host, entitlements);
    let asks = !args.wait && (args.entitlement.is_none() || args.reason.is_none());
    if asks {
        note(&offer);
    }
    let missing = |option: &str| {
        Failure::new(Exit::Denied, offer.clone())
            .next(format!("give {option}, or leave --wait out to be asked"))
    };
    let entitlement = match &args.entitlement {
        Some(name) => name.clone(),
        None if args.wait => return Err(missing("--entitlement")),
        None => prompt::line("Entitlement", names.first().copied(), "--entitlement")?,
    };
    let found = entitlements.iter().find(|e| e.name == entitlement).ok_or_else(|| {
        Failure::new(
            Exit::NotFound,
            format!("{host}: you may not request {:?} here", show::safe(&entitlement)),
        )
        .next(offer.clone())
    })?;
    let reason = match &args.reason {
        Some(reason) => reason.clone(),
        None if args.wait => return Err(missing("--reason")),
        None => prompt::line("Reason", None, "--reason")?,
    };
    let window = match args.window {
        Some(window) => Some(window),
        None if asks => {
            let longest = duration::words(found.max_window);
            match prompt::line("For", Some(&longest), "--for")? {
                said if said == longest => None,
                said => Some(duration::parse(&said).map_err(Failure::usage)?),
            }
        }
        None => None,
    };
    Ok(NewRequest {
        entitlement,
        hosts: vec![host.to_string()],
        reason,
        ticket: args.ticket.clone(),
        window,
        not_before: None,
        class: Some("routine".to_owned()),
        credentials: Vec::new(),
        // The certificate lets into an account that is made for the window, too.
        keys: Vec::new(),
        codes: Vec::new(),
    })
}

/// `web-01: you have no grant. You may request here: nginx-restart (1 h), web-root (30 min, 2 reviews)`.
fn offer(host: &HostName, entitlements: &[EntitlementView]) -> String {
    let one = |e: &EntitlementView| {
        let reviews = match e.reviews {
            0 => ", no review".to_owned(),
            1 => String::new(),
            more => format!(", {more} reviews"),
        };
        format!("{} ({}{reviews})", show::safe(&e.name), duration::words(e.max_window))
    };
    let list: Vec<_> = entitlements.iter().map(one).collect();
    format!("{host}: you have no grant. You may request here: {}", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entitlement(name: &str, max_window: u64, reviews: u32) -> EntitlementView {
        EntitlementView {
            name: name.into(),
            description: String::new(),
            hosts: vec!["web-01".into()],
            allows: Vec::new(),
            max_window,
            max_extension: 0,
            reviews,
        }
    }

    fn args(line: &str) -> SshArgs {
        use clap::Parser;
        match crate::args::Cli::parse_from(line.split_whitespace()).command {
            crate::args::Command::Ssh(args) => args,
            _ => panic!("another command"),
        }
    }

    #[test]
    fn the_denied_login_says_what_may_be_requested() {
        let all = [entitlement("nginx-restart", 3600, 1), entitlement("web-root", 1800, 2)];
        assert_eq!(
            offer(&"web-01".parse().unwrap(), &all),
            "web-01: you have no grant. You may request here: nginx-restart (1 h), web-root (30 min, 2 reviews)"
        );
    }

    #[test]
    fn a_script_that_says_too_little_is_told_and_asked_nothing() {
        let all = [entitlement("nginx-restart", 3600, 1)];
        let host = "web-01".parse().unwrap();
        let ask = |line: &str| wanted(&host, &all, &args(line));
        let failure = ask("stint ssh web-01 --wait").unwrap_err();
        assert_eq!(failure.exit, Exit::Denied);
        assert!(failure.message.contains("nginx-restart"), "{}", failure.message);
        ask("stint ssh web-01 --wait --entitlement nginx-restart").unwrap_err();
        ask("stint ssh web-01 --wait --entitlement web-root --reason OPS-12").unwrap_err();
        let asked =
            ask("stint ssh web-01 --wait --entitlement nginx-restart --reason OPS-12 --for 40m").unwrap();
        assert_eq!((asked.entitlement.as_str(), asked.window), ("nginx-restart", Some(2400)));
        assert_eq!(asked.hosts, ["web-01"]);
    }
}
