//! Windows without a baseline, with a damaged one, and windows that overlap.

use super::*;

const OTHER: &str = "ddddeeeeffff";

#[test]
fn without_a_baseline_what_is_young_is_told_and_nothing_undone() {
    let host = Host::new();
    host.write("home/alice/.bashrc", "who knows\n");
    let outcome = host.ends();
    assert!(host.read("home/alice/.bashrc").is_some());
    assert!(says(&outcome.reported, &[".bashrc", "what it was before is not known"]), "{outcome:?}");
    assert!(says(&outcome.not_scanned, &["no baseline: compared by age only"]));
    assert!(outcome.removed.is_empty() && outcome.restored.is_empty());
}

#[test]
fn a_damaged_baseline_is_said_to_be_one() {
    let host = Host::new();
    host.opens(login());
    host.write(&format!("var/lib/stint/warden/baselines/{GRANT}.json"), "{\"format\":1,");
    let outcome = host.ends();
    assert!(says(&outcome.not_scanned, &["the baseline is damaged"]), "{outcome:?}");
}

#[test]
fn what_a_session_did_before_a_late_baseline_was_complete_is_told() {
    let host = Host::new();
    host.opens(login());
    host.write("home/alice/.bashrc", "evil already\n");
    // As if the picture had been taken only now.
    let (store, grant) = (host.store(), GrantId::new(GRANT).unwrap());
    let mut baseline = store.baseline(&grant).unwrap().unwrap();
    (baseline.late, baseline.picture) = (true, host.picture(&login()));
    store.save_baseline(&baseline).unwrap();
    let outcome = host.ends();
    assert!(says(&outcome.reported, &[".bashrc", "what it was before is not known"]), "{outcome:?}");
    assert!(host.read("home/alice/.bashrc").is_some());
}

#[test]
fn another_grant_s_baseline_under_this_name_counts_as_none() {
    let host = Host::new();
    host.opens_as(OTHER, login());
    let stolen = host.read(&format!("var/lib/stint/warden/baselines/{OTHER}.json")).unwrap();
    host.write(&format!("var/lib/stint/warden/baselines/{GRANT}.json"), &stolen);
    assert!(says(&host.ends().not_scanned, &["no baseline"]));
}

#[test]
fn a_sweep_that_is_done_again_finds_the_host_as_it_left_it() {
    let host = Host::new();
    host.opens(login());
    host.write("home/alice/.bashrc", "evil\n");
    assert_eq!(host.ends().removed.len(), 1);
    assert!(is_quiet(&host.ends()));
}

#[test]
fn nobody_s_sweep_is_done_without_an_order() {
    let host = Host::new();
    host.opens(login());
    let grant = GrantId::new(GRANT).unwrap();
    let error = run_at(&host.paths(), host.root.path(), &host.rules, &grant).unwrap_err();
    assert!(error.to_string().contains("no sweep of grant aaaabbbbcccc was ordered"), "{error}");
}

#[test]
fn what_one_window_undid_is_told_to_the_others() {
    let host = Host::new();
    host.opens(login());
    host.write("home/alice/.bashrc", "evil\n");
    host.opens_as(OTHER, login());
    let outcome = host.ends();
    let touched = &outcome.touched[..];
    let [(path, None)] = touched else { panic!("{touched:?}") };
    assert_eq!(path.0, Path::new("/home/alice/.bashrc"));
}

#[test]
fn what_one_window_only_tells_another_one_still_undoes() {
    let host = Host::new();
    host.opens(some_root());
    host.opens_as(OTHER, full_root());
    host.write("etc/sudoers.d/evil", "alice ALL = (ALL) NOPASSWD: ALL\n");
    // The lesser window ends first: it may not undo what it finds, and does not know whose it is.
    let lesser = host.ends();
    assert!(says(&lesser.reported, &["/etc/sudoers.d/evil", "added"]), "{lesser:?}");
    assert!(lesser.touched.is_empty(), "{lesser:?}");
    let outcome = host.ends_as(OTHER);
    assert!(host.read("etc/sudoers.d/evil").is_none(), "{outcome:?}");
}

#[test]
fn a_path_of_any_bytes_is_read_back_as_it_was() {
    use super::super::picture::RawPath;
    for bytes in [&b"plain"[..], b"base64:x", b"\xff\x00\x1b", b"a\nb"] {
        let path = RawPath(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes).into());
        let text = serde_json::to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<RawPath>(&text).unwrap(), path, "{text}");
    }
}

/// The cost on the login's path, to be read by people: no bound is asserted.
#[test]
fn a_baseline_of_a_host_like_this_one_is_measured() {
    let host = Host::new();
    for n in 0..300 {
        host.write(&format!("etc/systemd/system/unit-{n}.service"), "[Service]\nExecStart=/bin/true\n");
        host.write(&format!("usr/lib/systemd/system/unit-{n}.service"), "[Service]\nExecStart=/bin/true\n");
    }
    let picture = host.picture(&full_root());
    println!("{} files in {} ms", picture.entries.len(), picture.took_ms);
    assert!(picture.entries.len() >= 600);
}
