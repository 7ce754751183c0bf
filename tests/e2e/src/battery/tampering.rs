//! Root's hand on what stint itself stands on.

use super::case::{Act, Answer, Case, Claim, ROOT_WAS_USED, Takes};
use super::round::{End, Family, Round};

pub(super) const FAMILY: Family = Family {
    name: "tampering",
    rounds: &[
        Round::new("full root", "web-root", End::Revoked, FILES).alone(),
        Round::new("full root", "web-root", End::Revoked, GATE).alone(),
        Round::new("full root", "web-root", End::Revoked, FROZEN).alone(),
        Round::new("full root", "web-root", End::Revoked, COVERED).alone(),
        Round::new("full root", "web-root", End::Revoked, LOCKED_UP).alone(),
        Round::new("full root", "web-root", End::Revoked, HIDDEN).alone(),
        Round::new("full root", "web-root", End::Revoked, SETTINGS).alone(),
        Round::new("full root", "web-root", End::Revoked, PAM).alone(),
        Round::new("full root", "web-root", End::Revoked, MODULE).alone(),
    ],
};

pub(super) const SILENCE: Family = Family {
    name: "silence",
    rounds: &[
        Round::new("full root", "web-root", End::Natural(30), STOPPED).alone(),
        Round::new("full root", "web-root", End::Revoked, LOGS).alone(),
        Round::new("full root", "web-root", End::Revoked, CUT_OFF).with(SHORT_NEWS),
        Round::new("full root", "web-root", End::Natural(30), CUT_OFF_AT_ITS_TIME).with(SHORT_NEWS),
    ],
};

/// News from the broker counts for 20 s.
const SHORT_NEWS: &str = "
[managed]
break_glass_uid = 1900

[limits]
staleness = \"20s\"
register_timeout_ms = 5000

[ceiling]
full_root = true
";

const FILES: &[Case] = &[
    Case {
        number: "T2",
        name: "a copy of the host's keys",
        act: Act::Ssh(&[], "sudo -n cp -a /var/lib/stint/keys /var/tmp/battery-keys"),
        takes: Takes::Host("test -d /var/tmp/battery-keys"),
        claims: &[ROOT_WAS_USED],
    },
    Case {
        number: "T3",
        name: "the warden's memory of grants, emptied",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'for f in /var/lib/stint/warden/*; do test -f $f && : > $f; done; ls /var/lib/stint/warden > /var/tmp/battery-t3'",
        ),
        takes: Takes::Host("test -s /var/tmp/battery-t3"),
        claims: &[Claim::no_entry("alice", &[], "true")],
    },
    Case {
        number: "T8",
        name: "the gate: what it says of each account's grants, edited",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'for f in /var/lib/stint/gate/gen-*/users/*; do echo >> $f; done; : > /var/tmp/battery-t8'",
        ),
        takes: Takes::Host("test -e /var/tmp/battery-t8"),
        claims: &[
            Claim::no_entry("alice", &[], "true"),
            Claim::on_record(&["ALARM", "gate"]),
            Claim::in_receipt(&["the gate was changed"]),
        ],
    },
];

const GATE: &[Case] = &[Case {
    number: "T1",
    name: "the gate: an older `current` put back again and again",
    act: Act::Ssh(
        &[],
        "sudo -n cp -p /var/lib/stint/gate/current /var/tmp/battery-current; \
         sudo -n systemd-run -q --unit=battery-t1 sh -c 'cd /var/lib/stint/gate; while :; do cp -p /var/tmp/battery-current .old; \
         mv .old current; sleep 0.05; done'",
    ),
    takes: Takes::Host("test -s /var/tmp/battery-current && systemctl is-active battery-t1"),
    // Whether somebody gets in depends on who wrote last, the warden or root: nothing is claimed of it.
    claims: &[
        Claim::in_receipt(&["battery-t1.service"]),
        Claim::on_record(&["ALARM", "gate"]),
        Claim::in_receipt(&["the gate was changed"]),
        ROOT_WAS_USED,
    ],
}];

const FROZEN: &[Case] = &[Case {
    number: "T1",
    name: "the gate: `chattr +i` on `current`, so that no end gets into it",
    act: Act::Ssh(&[], "sudo -n chattr +i /var/lib/stint/gate/current"),
    // It does not last until somebody could look: the next word of the broker finds it held, and has it freed.
    takes: Takes::Host("journalctl -q -t sudo | grep -q COMMAND=/usr/bin/chattr"),
    claims: &[
        Claim::undone("! lsattr /var/lib/stint/gate/current | grep -q '^....i'"),
        Claim::no_entry("alice", &[], "true"),
        Claim::in_receipt(&["/var/lib/stint/gate/current was immutable"]),
    ],
}];

const LOCKED_UP: &[Case] = &[Case {
    number: "T1",
    name: "`chattr -R +i` on the warden's memory, the journal and what sshd reads",
    act: Act::Ssh(
        &[],
        "sudo -n chattr -R +i /var/lib/stint/warden /var/lib/stint/journal /var/lib/stint/ssh",
    ),
    takes: Takes::Host("journalctl -q -t sudo | grep -q COMMAND=/usr/bin/chattr"),
    claims: &[
        Claim::undone("! lsattr -Rd /var/lib/stint/warden /var/lib/stint/journal | grep -q '^....i'"),
        Claim::no_entry("alice", &[], "true"),
        Claim::next_grant(),
        Claim::in_receipt(&["/var/lib/stint/journal was immutable"]),
    ],
}];

const HIDDEN: &[Case] = &[Case {
    number: "T1",
    name: "the gate: a copy mounted over its folder, where the warden does not see the mount",
    act: Act::Ssh(
        &[],
        "sudo -n sh -c 'cp -a /var/lib/stint/gate /var/tmp/battery-t1 && mount --make-rprivate / && \
         mount --bind /var/tmp/battery-t1 /var/lib/stint/gate'",
    ),
    takes: Takes::Host("test -s /var/tmp/battery-t1/current"),
    claims: &[
        Claim::undone("! findmnt /var/lib/stint/gate"),
        Claim::no_entry("alice", &[], "true"),
        Claim::in_receipt(&["what was mounted on /var/lib/stint/gate"]),
    ],
}];

const COVERED: &[Case] = &[Case {
    number: "T1",
    name: "the gate: a bind mount on `current`, so that no end gets into it",
    act: Act::Ssh(
        &[],
        "sudo -n sh -c 'cp -p /var/lib/stint/gate/current /var/tmp/battery-t1 && \
         mount --bind /var/tmp/battery-t1 /var/lib/stint/gate/current'",
    ),
    takes: Takes::Host("test -s /var/tmp/battery-t1"),
    claims: &[
        Claim::undone("! findmnt /var/lib/stint/gate/current"),
        Claim::no_entry("alice", &[], "true"),
        Claim::in_receipt(&["what was mounted on /var/lib/stint/gate/current"]),
    ],
}];

const SETTINGS: &[Case] = &[
    Case {
        number: "T4",
        name: "host.toml: the account made exempt",
        act: Act::Ssh(
            &[],
            "sudo -n sed -i 's/^break_glass_uid.*/&\\nexempt_uids = [1001]/' /etc/stint/host.toml",
        ),
        takes: Takes::Host("grep -q 'exempt_uids = .1001' /etc/stint/host.toml"),
        // host.toml is root's file, and the module reads it: somebody has to hear of it.
        claims: &[
            Claim::on_record(&["ALARM", "host.toml was changed: managed.exempt_uids"]),
            Claim::in_receipt(&["host.toml was changed: managed.exempt_uids"]),
            Claim::in_receipt(&["stint /etc/stint/host.toml: changed"]),
        ],
    },
    Case {
        number: "T5",
        name: "the mode: observe",
        act: Act::Ssh(&[], "echo observe | sudo -n tee /var/lib/stint/mode"),
        takes: Takes::Host("grep -q observe /var/lib/stint/mode"),
        claims: &[Claim::on_record(&["observe"]), Claim::in_receipt(&["from enforce to observe"])],
    },
];

const PAM: &[Case] = &[Case {
    number: "44",
    name: "our lines taken out of pam.d",
    act: Act::Ssh(&[], "sudo -n sed -i /pam_stint/d /etc/pam.d/common-account /etc/pam.d/common-session"),
    takes: Takes::Host("! grep -q pam_stint /etc/pam.d/common-account"),
    // Without our line nothing asks us: somebody has to hear of it.
    claims: &[
        ROOT_WAS_USED,
        Claim::on_record(&["ALARM", "common-account: the account line is missing"]),
        Claim::in_receipt(&["common-account: the account line is missing"]),
        Claim::in_receipt(&["pam /etc/pam.d/common-account: changed"]),
    ],
}];

const MODULE: &[Case] = &[
    Case {
        number: "44",
        name: "pam_stint.so replaced by a module that permits",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'cd /usr/lib/x86_64-linux-gnu/security && cp pam_permit.so new && mv new pam_stint.so'",
        ),
        takes: Takes::Host(
            "cmp /usr/lib/x86_64-linux-gnu/security/pam_permit.so /usr/lib/x86_64-linux-gnu/security/pam_stint.so",
        ),
        claims: &[
            ROOT_WAS_USED,
            // Another module answers in our place: somebody has to hear of it.
            Claim::on_record(&["ALARM", "pam_stint.so was replaced"]),
            Claim::in_receipt(&["pam_stint.so was replaced"]),
            Claim::in_receipt(&["/usr/lib/x86_64-linux-gnu/security/pam_stint.so: changed"]),
        ],
    },
    Case {
        number: "T6",
        name: "a drop-in on our own unit",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'mkdir -p /etc/systemd/system/stint-warden.service.d; \
             printf \"[Service]\\nEnvironment=BATTERY=1\\n\" > /etc/systemd/system/stint-warden.service.d/battery.conf'",
        ),
        takes: Takes::Host("test -s /etc/systemd/system/stint-warden.service.d/battery.conf"),
        claims: &[Claim::undone_or_reported(
            "! test -e /etc/systemd/system/stint-warden.service.d/battery.conf",
            &["stint-warden.service.d"],
        )],
    },
    Case {
        number: "55",
        name: "`date -s yesterday`",
        act: Act::None,
        takes: Takes::None,
        claims: &[Claim::cannot(
            Answer::Denied,
            "the battery's hosts share the machine's clock; it is tried on a virtual machine by `cargo test -p stint-e2e --test virtual`: killed, undone, denied and reported",
        )],
    },
];

const STOPPED: &[Case] = &[Case {
    number: "54",
    name: "the warden stopped and masked",
    act: Act::Typed(
        "(trap '' HUP TERM; sleep 9054 &) ; sudo -n systemctl mask --now --runtime stint-warden.service stint-warden.socket \
         stint-warden-courier.socket stint-warden-sudo.socket stint-courier.service",
    ),
    takes: Takes::Host("! pgrep -xf '/usr/sbin/stintd warden' && pgrep -xf 'sleep 9054'"),
    claims: &[
        Claim::killed("sleep 9054")
            .late(8.0, "without the warden PID 1 asks first, and kills a second later"),
        Claim::denied("! runuser -u alice -- sudo -n true"),
        Claim::no_entry("alice", &[], "true"),
    ],
}];

const LOGS: &[Case] = &[
    Case {
        number: "58",
        name: "logs wiped, our journal too",
        act: Act::Ssh(
            &[],
            "sudo -n sh -c 'journalctl -q --rotate; journalctl -q --vacuum-time=1s; rm -rf /var/log/*; rm -rf /var/lib/stint/journal/*; : > /var/tmp/battery-58'",
        ),
        takes: Takes::Host("test -e /var/tmp/battery-58"),
        // What came before is with the broker already.
        claims: &[Claim::on_record(&["alice let in at sudo"])],
    },
    Case {
        number: "56",
        name: "the agent's state rolled back",
        act: Act::Ssh(
            &[],
            "sudo -n systemd-run -q --unit=battery-56 sh -c 'cp -a /var/lib/stint /var/tmp/battery-state; sleep 8; \
             systemctl stop stint-warden; cp -a /var/tmp/battery-state/. /var/lib/stint/; systemctl start stint-warden; touch /var/tmp/battery-56'",
        ),
        takes: Takes::Host("test -d /var/tmp/battery-state/warden"),
        claims: &[
            // It is done, after the end.
            Claim::ended("test -e /var/tmp/battery-56")
                .late(16.0, "the state is put back 8 s after it was copied"),
            Claim::no_entry("alice", &[], "true"),
            Claim::on_record(&["ALARM"]),
        ],
    },
];

const CUT_OFF: &[Case] = &[Case {
    number: "57",
    name: "the way to the broker cut (its name, since the lab's hosts may not set firewall rules)",
    act: Act::Ssh(
        &[],
        "setsid sleep 9057 >/dev/null 2>&1 </dev/null & \
         sudo -n sh -c 'sed -i /broker.lab/d /etc/hosts; echo 10.77.0.250 broker.lab >> /etc/hosts; systemctl kill stint-courier'",
    ),
    takes: Takes::Host("grep -q 10.77.0.250 /etc/hosts && pgrep -xf 'sleep 9057'"),
    claims: &[
        // The revocation never comes. The news is too old soon.
        Claim::no_entry("alice", &[], "true"),
        Claim::denied("! runuser -u alice -- sudo -n true").late(25.0, "news counts for 20 s on this host"),
    ],
}];

/// A session that is open goes on when the news is too old, and no longer than its window.
const CUT_OFF_AT_ITS_TIME: &[Case] = &[Case {
    number: "57",
    name: "the same, and a session that is open, which no revocation reaches",
    act: Act::Typed(
        "(setsid sh -c 'trap \"\" TERM HUP; exec sleep 9157' &) ; \
         sudo -n sh -c 'sed -i /broker.lab/d /etc/hosts; echo 10.77.0.250 broker.lab >> /etc/hosts; systemctl kill stint-courier'",
    ),
    takes: Takes::Host("grep -q 10.77.0.250 /etc/hosts && pgrep -xf 'sleep 9157'"),
    claims: &[Claim::killed("sleep 9157"), Claim::no_entry("alice", &[], "true")],
}];
