//! The host's package: inert when installed, wired only when told, gone without a trace.

use stint_e2e::Packages;
use stint_lab::{Host, Lab, LabError};

type Tested = Result<(), LabError>;

const PROFILES: [&str; 2] = ["stint", "stint-register"];
const UNITS: &str = "stint-warden.service stint-courier.service stint-warden.socket stint-warden-courier.socket stint-warden-sudo.socket stint-rollback-boot.service";

/// Name and content of every file that PAM reads.
fn pam_files(host: &Host) -> Result<String, LabError> {
    Ok(host.sh("cd /etc/pam.d && sha256sum * && cat /etc/pam.conf")?.check("reading PAM's files")?.stdout)
}

/// The lines of a file of PAM without comments, blanks squeezed.
fn pam_lines(host: &Host, file: &str) -> Result<Vec<String>, LabError> {
    let text = host.sh(&format!("grep -v -e '^#' -e '^$' /etc/pam.d/{file}"))?.stdout;
    Ok(text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

fn enable(host: &Host) -> Tested {
    let line = format!("DEBIAN_FRONTEND=noninteractive pam-auth-update --enable {}", PROFILES.join(" "));
    host.sh(&line)?.check("enabling the profiles").map(drop)
}

#[test]
fn an_installed_package_is_inert() -> Tested {
    let lab = Lab::new()?;
    let host = lab.host("web-01")?;
    let before = pam_files(&host)?;
    host.install_deb(&Packages::find().host)?;

    assert_eq!(pam_files(&host)?, before);
    assert_eq!(host.ssh("alice", "id -un")?.stdout, "alice\n");
    assert_eq!(host.sh(&format!("systemctl is-active {UNITS} | sort -u"))?.stdout, "inactive\n");
    assert_eq!(host.sh("systemctl is-system-running")?.stdout, "running\n");
    assert_eq!(host.sh("find /run/stint /var/lib/stint /etc/sudoers.d -name '*stint*' -type f")?.stdout, "");

    // Another package's installation makes PAM's files anew: the profiles must not slip in.
    host.sh("DEBIAN_FRONTEND=noninteractive pam-auth-update --package")?.check("pam-auth-update")?;
    assert_eq!(pam_files(&host)?, before);

    host.reboot()?;
    assert_eq!(host.ssh("alice", "id -un")?.stdout, "alice\n");
    assert_eq!(host.sh("systemctl is-system-running")?.stdout, "running\n", "{}", host.diagnosis());
    Ok(())
}

#[test]
fn folders_and_the_account_have_the_owners_and_modes_of_the_contract() -> Tested {
    let lab = Lab::new()?;
    let host = lab.host("web-01")?;
    host.install_deb(&Packages::find().host)?;
    let line = "cd / && stat -c '%n %U:%G %a' etc/stint/host.toml run/stint var/lib/stint var/lib/stint/*";
    assert_eq!(
        host.sh(line)?.stdout,
        "etc/stint/host.toml root:root 644\n\
         run/stint root:root 755\n\
         var/lib/stint root:root 755\n\
         var/lib/stint/accounts root:root 700\n\
         var/lib/stint/archive root:root 700\n\
         var/lib/stint/courier stint:stint 700\n\
         var/lib/stint/gate root:root 755\n\
         var/lib/stint/journal root:root 700\n\
         var/lib/stint/keys root:root 700\n\
         var/lib/stint/recordings root:root 700\n\
         var/lib/stint/ssh root:root 755\n\
         var/lib/stint/warden root:root 700\n"
    );
    let account = host.sh("getent passwd stint | cut -d: -f1,6,7; id -Gn stint")?;
    assert_eq!(account.stdout, "stint:/var/lib/stint/courier:/usr/sbin/nologin\nstint\n");
    Ok(())
}

#[test]
fn systemd_accepts_every_line_of_the_units() -> Tested {
    let lab = Lab::new()?;
    let host = lab.host("web-01")?;
    let packages = Packages::find();
    host.install_deb(&packages.host)?;
    host.install_deb(&packages.broker)?;
    let verified = host.sh(&format!("systemd-analyze verify {UNITS} stint-broker.service"))?;
    assert_eq!((verified.status, verified.text().as_str()), (0, ""), "{verified}");
    Ok(())
}

#[test]
fn enabled_profiles_put_the_gate_first_the_limit_before_pam_systemd_and_the_registration_last() -> Tested {
    let lab = Lab::new()?;
    let host = lab.host("web-01")?;
    host.install_deb(&Packages::find().host)?;
    enable(&host)?;

    let gate = "account [success=ok new_authtok_reqd=ok ignore=ignore module_unknown=ignore default=die] \
                pam_stint.so account";
    let unix = "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so";
    assert_eq!(pam_lines(&host, "common-account")?[..2], [gate, unix]);

    let limit = "session [success=ok ignore=ignore module_unknown=ignore default=ignore] \
                 pam_stint.so session limit";
    let register = "session [success=ok ignore=ignore module_unknown=ignore default=die] \
                    pam_stint.so session register";
    let (unix, systemd) = ("session required pam_unix.so", "session optional pam_systemd.so");
    // The first three lines are the Primary block, which permits. Debian 13 has a line about the umask after it.
    let others = |file| -> Result<Vec<String>, LabError> {
        let lines = pam_lines(&host, file)?;
        Ok(lines.into_iter().skip(3).filter(|line| !line.contains("pam_umask.so")).collect())
    };
    assert_eq!(others("common-session")?, [limit, unix, systemd, register]);
    assert_eq!(others("common-session-noninteractive")?, [limit, unix, register]);
    for service in ["sudo", "sudo-i", "su"] {
        let lines = pam_lines(&host, service)?;
        let last = lines
            .iter()
            .rfind(|line| line.starts_with("session") || line.starts_with("@include common-session"));
        assert!(last.is_some_and(|line| line.starts_with("@include common-session")), "{service}: {lines:?}");
    }
    Ok(())
}

#[test]
fn removal_leaves_pam_as_it_was_and_no_right_behind() -> Tested {
    let lab = Lab::new()?;
    let host = lab.host("web-01")?;
    let before = pam_files(&host)?;
    host.install_deb(&Packages::find().host)?;
    enable(&host)?;
    assert_ne!(pam_files(&host)?, before);

    host.sh("DEBIAN_FRONTEND=noninteractive dpkg -r stint-host")?.check("removing the package")?;
    assert_eq!(pam_files(&host)?, before);
    assert_eq!(host.ssh("alice", "id -un")?.stdout, "alice\n");
    assert!(host.sh("test -s /etc/stint/host.toml")?.success(), "only a purge removes the configuration");

    host.sh("DEBIAN_FRONTEND=noninteractive dpkg -P stint-host")?.check("purging the package")?;
    let line = "ls -d /etc/stint /var/lib/stint /usr/share/pam-configs/stint* /usr/lib/systemd/system/stint* \
                /etc/systemd/system/*.wants/stint* 2>/dev/null";
    assert_eq!(host.sh(line)?.stdout, "");
    assert_eq!(host.sh("systemctl is-system-running")?.stdout, "running\n");
    Ok(())
}

#[test]
fn an_upgrade_leaves_pam_and_the_administrator_s_configuration_alone() -> Tested {
    let lab = Lab::new()?;
    let host = lab.host("web-01")?;
    let deb = Packages::find().host;
    host.install_deb(&deb)?;
    // Taken out by hand: an upgrade must not put it back.
    let inert = pam_files(&host)?;
    host.sh("sed -i 's/^staleness.*/staleness = \"7m\"/' /etc/stint/host.toml")?.check("editing")?;
    host.install_deb(&deb)?;
    assert_eq!(pam_files(&host)?, inert);
    enable(&host)?;
    let armed = pam_files(&host)?;
    host.install_deb(&deb)?;
    assert_eq!(pam_files(&host)?, armed);
    assert_eq!(host.sh("grep -c '\"7m\"' /etc/stint/host.toml")?.stdout, "1\n");
    Ok(())
}
