//! Full root: ways back in.

use super::case::{Act, Answer, Case, Claim, ROOT_WAS_USED, Takes};
use super::root_processes::{AT_ITS_TIME, PROCESSES};
use super::round::{End, Family, Round};

pub(super) const FAMILY: Family = Family {
    name: "root",
    rounds: &[
        Round::new("full root", "web-root", End::Revoked, PROCESSES).on(READY),
        Round::new("full root", "web-root", End::Natural(30), AT_ITS_TIME),
        Round::new("full root", "web-root", End::GivenBack, FILES),
        Round::new("full root", "web-root", End::Revoked, SYSTEM),
        Round::new("full root", "web-root", End::Revoked, IMMUTABLE).alone(),
    ],
};

/// A standing rule of doas, and an account for keys of root's.
const READY: &str = "echo 'permit nopass alice as root' > /etc/doas.conf";

const FILES: &[Case] = &[
    Case {
        number: "13",
        name: "a line in /etc/cron.d",
        act: Act::Ssh(
            &[],
            "echo '* * * * * root touch /var/tmp/battery-13' | sudo -n tee /etc/cron.d/battery-13",
        ),
        takes: Takes::Host("test -s /etc/cron.d/battery-13"),
        claims: &[Claim::undone_or_reported("! test -e /etc/cron.d/battery-13", &["/etc/cron.d/battery-13"])],
    },
    Case {
        number: "35",
        name: "`timestamp_type=global` in sudoers.d",
        act: Act::Ssh(
            &[],
            "echo 'Defaults timestamp_type=global' | sudo -n tee /etc/sudoers.d/battery-35 && sudo -n chmod 440 /etc/sudoers.d/battery-35",
        ),
        takes: Takes::Host("test -s /etc/sudoers.d/battery-35"),
        claims: &[Claim::undone_or_reported(
            "! test -e /etc/sudoers.d/battery-35",
            &["/etc/sudoers.d/battery-35"],
        )],
    },
    Case {
        number: "36",
        name: "a rule of one's own in sudoers.d",
        act: Act::Ssh(
            &[],
            "echo 'alice ALL = (ALL) NOPASSWD: ALL' | sudo -n tee /etc/sudoers.d/battery-36 && sudo -n chmod 440 /etc/sudoers.d/battery-36",
        ),
        takes: Takes::Host("test -s /etc/sudoers.d/battery-36"),
        claims: &[
            Claim::denied("! runuser -u alice -- sudo -n true"),
            Claim::undone_or_reported("! test -e /etc/sudoers.d/battery-36", &["/etc/sudoers.d/battery-36"]),
        ],
    },
    Case {
        number: "38",
        name: "a key for root",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'mkdir -pm 700 /root/.ssh; cat /etc/ssh/lab-keys/alice >> /root/.ssh/authorized_keys'",
        ),
        takes: Takes::Host("grep -q alice /root/.ssh/authorized_keys"),
        claims: &[
            Claim::no_entry("root", &["-i", "{dir}/keys/alice"], "true"),
            Claim::undone_or_reported(
                "! grep -q alice /root/.ssh/authorized_keys",
                &["/root/.ssh/authorized_keys"],
            ),
        ],
    },
    Case {
        number: "38",
        name: "a key for another user",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'mkdir -pm 700 ~bob/.ssh; cat /etc/ssh/lab-keys/alice >> ~bob/.ssh/authorized_keys; chown -R bob: ~bob/.ssh'",
        ),
        takes: Takes::Host("grep -q alice ~bob/.ssh/authorized_keys"),
        claims: &[
            Claim::no_entry("bob", &["-i", "{dir}/keys/alice"], "true"),
            Claim::undone_or_reported(
                "! grep -q alice ~bob/.ssh/authorized_keys",
                &["bob/.ssh/authorized_keys"],
            ),
        ],
    },
    Case {
        number: "39",
        name: "a setuid copy of a shell",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'cp /bin/bash /usr/local/bin/battery-39; chmod 4755 /usr/local/bin/battery-39'",
        ),
        takes: Takes::Host("test -u /usr/local/bin/battery-39"),
        claims: &[Claim::undone_or_reported(
            "! test -u /usr/local/bin/battery-39",
            &["/usr/local/bin/battery-39"],
        )],
    },
    Case {
        number: "40",
        name: "a copy with file capabilities",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'cp /bin/cat /usr/local/bin/battery-40; setcap cap_dac_override+ep /usr/local/bin/battery-40'",
        ),
        takes: Takes::Host("getcap /usr/local/bin/battery-40 | grep -q dac_override"),
        claims: &[Claim::undone_or_reported(
            "! getcap /usr/local/bin/battery-40 2>&1 | grep -q dac_override",
            &["/usr/local/bin/battery-40"],
        )],
    },
    Case {
        number: "45",
        name: "a polkit rule",
        act: Act::Ssh(
            &[],
            "echo 'polkit.addRule(function() { return polkit.Result.YES; });' | sudo -n tee /etc/polkit-1/rules.d/battery-45.rules",
        ),
        takes: Takes::Host("test -s /etc/polkit-1/rules.d/battery-45.rules"),
        claims: &[Claim::undone_or_reported(
            "! test -e /etc/polkit-1/rules.d/battery-45.rules",
            &["battery-45.rules"],
        )],
    },
    Case {
        number: "46",
        name: "/etc/ld.so.preload",
        act: Act::Ssh(&[], "echo /lib/x86_64-linux-gnu/libm.so.6 | sudo -n tee /etc/ld.so.preload"),
        takes: Takes::Host("test -s /etc/ld.so.preload"),
        claims: &[Claim::undone_or_reported("! test -s /etc/ld.so.preload", &["/etc/ld.so.preload"])],
    },
    Case {
        number: "47",
        name: "a systemd unit, enabled",
        act: Act::Ssh(
            &[],
            "printf '[Service]\\nExecStart=/bin/sleep 9047\\n[Install]\\nWantedBy=multi-user.target\\n' | \
             sudo -n tee /etc/systemd/system/battery-47.service && sudo -n systemctl enable --now battery-47.service",
        ),
        takes: Takes::Process("/bin/sleep 9047"),
        claims: &[
            Claim::undone_or_reported(
                "! test -e /etc/systemd/system/battery-47.service",
                &["battery-47.service"],
            ),
            Claim::in_receipt(&["PID 1 runs battery-47.service"]),
        ],
    },
    Case {
        number: "47",
        name: "a drop-in on a service that stands",
        act: Act::Ssh(
            &[],
            "sudo -n mkdir -p /etc/systemd/system/cron.service.d && \
             printf '[Service]\\nExecStartPre=/bin/true\\n' | sudo -n tee /etc/systemd/system/cron.service.d/battery-47.conf",
        ),
        takes: Takes::Host("test -s /etc/systemd/system/cron.service.d/battery-47.conf"),
        claims: &[Claim::undone_or_reported(
            "! test -e /etc/systemd/system/cron.service.d/battery-47.conf",
            &["cron.service.d/battery-47.conf"],
        )],
    },
    Case {
        number: "47",
        name: "a generator",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'mkdir -p /etc/systemd/system-generators; cp /bin/true /etc/systemd/system-generators/battery-47'",
        ),
        takes: Takes::Host("test -x /etc/systemd/system-generators/battery-47"),
        claims: &[Claim::undone_or_reported(
            "! test -e /etc/systemd/system-generators/battery-47",
            &["system-generators/battery-47"],
        )],
    },
    Case {
        number: "48",
        name: "udev RUN, profile.d, modprobe install, binfmt.d, sysctl.d",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'mkdir -p /etc/udev/rules.d /etc/modprobe.d /etc/binfmt.d /etc/sysctl.d; \
             for f in udev/rules.d/48-battery.rules profile.d/battery-48.sh modprobe.d/battery-48.conf binfmt.d/battery-48.conf \
             sysctl.d/battery-48.conf; do echo \"# battery\" > /etc/$f; done'",
        ),
        takes: Takes::Host("test -s /etc/sysctl.d/battery-48.conf"),
        claims: &[
            Claim::undone_or_reported("! test -e /etc/udev/rules.d/48-battery.rules", &["48-battery.rules"]),
            Claim::undone_or_reported("! test -e /etc/profile.d/battery-48.sh", &["profile.d/battery-48.sh"]),
            Claim::undone_or_reported(
                "! test -e /etc/modprobe.d/battery-48.conf",
                &["modprobe.d/battery-48.conf"],
            ),
            Claim::undone_or_reported(
                "! test -e /etc/binfmt.d/battery-48.conf",
                &["binfmt.d/battery-48.conf"],
            ),
            Claim::undone_or_reported(
                "! test -e /etc/sysctl.d/battery-48.conf",
                &["sysctl.d/battery-48.conf"],
            ),
        ],
    },
    Case {
        number: "48",
        name: "core_pattern, written to the kernel at once",
        act: Act::None,
        takes: Takes::None,
        claims: &[Claim::cannot(
            Answer::Reported,
            "the battery's hosts share the machine's kernel; it is tried on a virtual machine by `cargo test -p stint-e2e --test virtual`: reported",
        )],
    },
];

const SYSTEM: &[Case] = &[
    Case {
        number: "37",
        name: "a bind mount on our drop-in",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'cp /etc/sudoers.d/zz-stint-{id} /var/tmp/battery-37; \
             mount --bind /var/tmp/battery-37 /etc/sudoers.d/zz-stint-{id}'",
        ),
        takes: Takes::Host("findmnt /etc/sudoers.d/zz-stint-{id}"),
        claims: &[
            Claim::undone("! test -e /etc/sudoers.d/zz-stint-{id}"),
            // What was mounted is another file, and stays as it is.
            Claim::goes_on("test -s /var/tmp/battery-37"),
            Claim::denied("! runuser -u alice -- sudo -n true"),
            Claim::in_receipt(&["what was mounted on /etc/sudoers.d/zz-stint-{id}"]),
        ],
    },
    Case {
        number: "41",
        name: "a new account with uid 0",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'useradd -o -u 0 -g 0 -M -d /root -s /bin/bash toor && cp /etc/ssh/lab-keys/alice /etc/ssh/lab-keys/toor'",
        ),
        takes: Takes::Host("getent passwd toor && test -s /etc/ssh/lab-keys/toor"),
        claims: &[
            Claim::no_entry("toor", &["-i", "{dir}/keys/alice"], "true"),
            Claim::undone_or_reported("! getent passwd toor", &["toor"]),
        ],
    },
    Case {
        number: "41",
        name: "a new account below the first managed uid",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'useradd -u 950 -m -s /bin/bash ghost && cp /etc/ssh/lab-keys/alice /etc/ssh/lab-keys/ghost'",
        ),
        takes: Takes::Host("getent passwd ghost && test -s /etc/ssh/lab-keys/ghost"),
        claims: &[
            // An account that host.toml does not manage is not gated, whoever made it: somebody has to hear of it.
            Claim::in_receipt(&["account ghost was added, with uid 950"]),
        ],
    },
    Case {
        number: "42",
        name: "`passwd root`",
        act: Act::Ssh(&[], "echo root:battery | sudo -n chpasswd"),
        takes: Takes::Host("test /etc/shadow -nt /etc/passwd-"),
        claims: &[Claim::in_receipt(&["shadow"])],
    },
    Case {
        number: "43",
        name: "`usermod -aG sudo`",
        act: Act::Ssh(&[], "sudo -n usermod -aG sudo alice"),
        takes: Takes::Host("id -nG alice | grep -qw sudo"),
        claims: &[
            Claim::denied("! runuser -u alice -- sudo -n true"),
            Claim::undone_or_reported("! id -nG alice | grep -qw sudo", &["group"]),
        ],
    },
    Case {
        number: "50",
        name: "systemd-nspawn on the host's root",
        act: Act::Ssh(
            &[],
            "sudo -n setsid systemd-nspawn -q --register=no --keep-unit --volatile=yes -D / -M battery-50 sleep 9050 >/var/tmp/battery-50 2>&1 </dev/null &",
        ),
        takes: Takes::Process("sleep 9050"),
        claims: &[Claim::killed("sleep 9050"), ROOT_WAS_USED],
    },
    Case {
        number: "52",
        name: "sshd replaced",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'cp -p /usr/sbin/sshd /usr/sbin/sshd.new; echo >> /usr/sbin/sshd.new; mv /usr/sbin/sshd.new /usr/sbin/sshd'",
        ),
        takes: Takes::Host(
            "! dpkg -V openssh-server | grep -q nothing && dpkg -V openssh-server | grep -q /usr/sbin/sshd",
        ),
        claims: &[ROOT_WAS_USED, Claim::in_receipt(&["/usr/sbin/sshd"])],
    },
    Case {
        number: "53",
        name: "a kernel module, bpf, kexec",
        act: Act::None,
        takes: Takes::None,
        claims: &[Claim::cannot(
            Answer::Reported,
            "the battery's hosts share the machine's kernel; it is tried on a virtual machine by `cargo test -p stint-e2e --test virtual`: reported",
        )],
    },
];

const IMMUTABLE: &[Case] = &[Case {
    number: "37",
    name: "`chattr +i` on our drop-in",
    act: Act::Ssh(&[], "sudo -n chattr +i /etc/sudoers.d/zz-stint-{id}"),
    takes: Takes::Host("lsattr /etc/sudoers.d/zz-stint-{id} | grep -q '^....i'"),
    claims: &[
        Claim::undone("! test -e /etc/sudoers.d/zz-stint-{id}"),
        // Whoever leaves one must not stop the host from hearing of the next grant.
        Claim::next_grant(),
        Claim::denied("! runuser -u alice -- sudo -n true"),
        Claim::in_receipt(&["/etc/sudoers.d/zz-stint-{id} was immutable"]),
    ],
}];
