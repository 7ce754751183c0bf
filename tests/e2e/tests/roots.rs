//! The root is renewed as people do it: exported, signed where the key is, published; hosts follow.

use std::path::Path;
use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST, Options};
use stint_lab::until;

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn the_next_root_is_published_and_taken_by_the_host_and_another_one_is_refused() -> Tested {
    let fleet = Fleet::with(&Options { armed: false, ..Options::default() })?;
    let admin = &fleet.admin;
    let (current, next) = (admin.home().join("root.json"), admin.home().join("next.json"));
    admin.run(&["root", "export", "--to", &text(&current)])?;
    assert_eq!(admin.json(&["root", "show"])?["version"], 1);

    // The root that stands, and a file that is none.
    let same = admin.stint(&["root", "publish", &text(&current)])?;
    assert!(!same.success() && same.text().contains("does not follow"), "{same}");
    let none = admin.stint(&["root", "publish", &text(&admin.home().join("password"))])?;
    assert!(!none.success() && none.text().contains("not a signed envelope"), "{none}");
    assert_eq!(admin.json(&["root", "show"])?["version"], 1);

    fleet.broker.next_root(&current, &next)?.check("stint-broker root next")?;
    let not_admin = fleet.alice.stint(&["root", "publish", &text(&next)])?;
    assert!(!not_admin.success() && not_admin.text().contains("may not publish a root"), "{not_admin}");
    let before = admin.json(&["host", "show", HOST])?["bundle_version"].as_i64();
    admin.run(&["root", "publish", &text(&next)])?;
    assert_eq!(admin.json(&["root", "show"])?["version"], 2);
    until("the host to have the bundle that shows it", BOUND, || {
        admin.json(&["host", "show", HOST]).is_ok_and(|h| h["acknowledged_version"].as_i64() > before)
    })?;
    // Reviews, rosters and grants go on under the new one.
    fleet.grant("nginx-restart", "10m")?;
    Ok(())
}
