//! Work that is put off until the window is over.

use super::case::{Act, Case, Claim, Takes};
use super::round::{End, Family, Round};

pub(super) const FAMILY: Family =
    Family { name: "schedulers", rounds: &[Round::new("login", "web-login", End::GivenBack, CASES)] };

const CASES: &[Case] = &[
    Case {
        number: "11",
        name: "`at now + 1 minute`",
        act: Act::Ssh(&[], "echo 'touch /var/tmp/battery-11' | at now + 1 minute"),
        takes: Takes::Host("atq | grep -q alice"),
        claims: &[
            Claim::not_run_again("/var/tmp/battery-11"),
            Claim::undone_or_reported("! atq | grep -q alice", &["at job"]),
        ],
    },
    Case {
        number: "12",
        name: "`crontab -`",
        act: Act::Ssh(&[], "echo '* * * * * touch /var/tmp/battery-12' | crontab -"),
        takes: Takes::Host("crontab -u alice -l | grep -q battery-12"),
        claims: &[
            Claim::not_run_again("/var/tmp/battery-12"),
            Claim::undone_or_reported("! crontab -u alice -l | grep -q battery-12", &["crontab"]),
        ],
    },
    Case {
        number: "15",
        name: "`loginctl enable-linger`",
        act: Act::Ssh(&[], "loginctl enable-linger && systemd-run --user -q sleep 9015"),
        takes: Takes::Host("test -e /var/lib/systemd/linger/alice && pgrep -xf '/usr/bin/sleep 9015'"),
        claims: &[
            Claim::killed("/usr/bin/sleep 9015"),
            Claim::ended("! pgrep -u alice -x systemd"),
            Claim::undone("! test -e /var/lib/systemd/linger/alice"),
        ],
    },
    Case {
        number: "16",
        name: "`systemctl --user enable --now x.timer`",
        act: Act::Ssh(
            &[],
            "mkdir -p ~/.config/systemd/user && cd ~/.config/systemd/user && \
             printf '[Timer]\\nOnActiveSec=1\\nOnUnitActiveSec=5\\n[Install]\\nWantedBy=timers.target\\n' > battery-16.timer && \
             printf '[Service]\\nExecStart=/bin/touch /var/tmp/battery-16\\n' > battery-16.service && \
             systemctl --user daemon-reload && systemctl --user enable --now battery-16.timer",
        ),
        takes: Takes::Host("test -e /var/tmp/battery-16"),
        claims: &[
            Claim::not_run_again("/var/tmp/battery-16"),
            Claim::undone_or_reported(
                "! test -e ~alice/.config/systemd/user/battery-16.timer",
                &["battery-16.timer"],
            ),
        ],
    },
];
