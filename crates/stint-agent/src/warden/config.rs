//! What root on the host decides: `host.toml`, the mode, and whether PAM asks the module at all.

use std::path::PathBuf;

use stint_grant::host_config::{HostConfig, MAX_HOST_CONFIG_BYTES};
use stint_log::record::Mode;

use super::files;
use super::paths::Paths;

/// Reads `host.toml`. A missing one means the strict defaults; a malformed one is an error that names the line.
pub(crate) fn host_config(paths: &Paths) -> Result<HostConfig, String> {
    let path = paths.host_config();
    let bytes = files::read(&path, MAX_HOST_CONFIG_BYTES).map_err(|e| e.to_string())?;
    let Some(bytes) = bytes else { return Ok(HostConfig::default()) };
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8 text", path.display()))?;
    HostConfig::parse(&text).map_err(|e| e.to_string())
}

/// The last `host.toml` that held, for a start with a malformed one. Strict defaults if there is none.
pub(crate) fn last_good(paths: &Paths) -> HostConfig {
    let bytes = files::read(&good_copy(paths), MAX_HOST_CONFIG_BYTES).ok().flatten();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.and_then(|text| HostConfig::parse(&text).ok()).unwrap_or_default()
}

/// Keeps a copy of the `host.toml` that holds.
pub(crate) fn keep_good(paths: &Paths) {
    let kept = match files::read(&paths.host_config(), MAX_HOST_CONFIG_BYTES) {
        Ok(Some(bytes)) => files::replace(&good_copy(paths), &bytes, 0o600),
        Ok(None) => files::remove(&good_copy(paths)),
        Err(error) => Err(error),
    };
    if let Err(error) = kept {
        tracing::warn!(%error, "no copy of host.toml could be kept");
    }
}

fn good_copy(paths: &Paths) -> PathBuf {
    paths.warden().join("host.toml.good")
}

/// How the host treats its own verdicts. A lost or odd mode file means enforce; inert means that no PAM line stands.
pub(crate) fn mode(paths: &Paths) -> Mode {
    if !is_armed(paths) {
        return Mode::Inert;
    }
    match files::read(&paths.mode(), 64) {
        Ok(Some(text)) if text.trim_ascii() == b"observe" => Mode::Observe,
        _ => Mode::Enforce,
    }
}

/// Whether any PAM service has a line of ours.
fn is_armed(paths: &Paths) -> bool {
    let Ok(entries) = std::fs::read_dir(&paths.pam) else { return false };
    entries.filter_map(|entry| Some(files::text(&entry.ok()?.path()))).any(|text| {
        text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("pam_stint.so"))
    })
}

/// The mode as one word.
pub(crate) fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Inert => "inert",
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::under(dir.path());
        files::ensure_dir(&paths.pam, 0o755).unwrap();
        files::ensure_dir(&paths.state, 0o755).unwrap();
        files::ensure_dir(&paths.etc, 0o755).unwrap();
        std::fs::write(paths.pam.join("common-account"), "account required pam_stint.so account\n").unwrap();
        (dir, paths)
    }

    #[test]
    fn a_lost_or_odd_mode_enforces() {
        let (_dir, paths) = armed();
        assert_eq!(mode(&paths), Mode::Enforce);
        for (text, expected) in [
            ("observe\n", Mode::Observe),
            ("enforce\n", Mode::Enforce),
            ("", Mode::Enforce),
            ("OBSERVE", Mode::Enforce),
            ("observe enforce", Mode::Enforce),
        ] {
            std::fs::write(paths.mode(), text).unwrap();
            assert_eq!(mode(&paths), expected, "{text:?}");
        }
    }

    #[test]
    fn a_host_without_a_pam_line_is_inert_whatever_its_mode_says() {
        let (_dir, paths) = armed();
        std::fs::write(paths.mode(), "enforce\n").unwrap();
        std::fs::write(paths.pam.join("common-account"), "# account required pam_stint.so account\n")
            .unwrap();
        assert_eq!(mode(&paths), Mode::Inert);
        // A comment in another encoding hides no line.
        let text = b"# ge\xe4ndert\naccount required pam_stint.so account\n";
        std::fs::write(paths.pam.join("common-account"), text).unwrap();
        assert_eq!(mode(&paths), Mode::Enforce);
    }

    #[test]
    fn a_malformed_host_toml_is_an_error_with_its_line() {
        let (_dir, paths) = armed();
        assert_eq!(host_config(&paths), Ok(HostConfig::default()));
        std::fs::write(paths.host_config(), "[ceiling]\nmax_window = 5\n").unwrap();
        assert!(host_config(&paths).unwrap_err().contains("line 2"));
    }
}
