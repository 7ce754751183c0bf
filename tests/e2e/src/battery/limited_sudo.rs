//! A limited sudo grant that is made to give more than it says.

use super::case::{Act, Case, Claim, Takes};
use super::round::{End, Family, Round};

pub(super) const FAMILY: Family = Family {
    name: "limited",
    rounds: &[Round::new("limited sudo", "battery-limited", End::Revoked, CASES).on(STANDING_RULE)],
};

/// A rule of the host's own that asks for the password, so that sudo writes a ticket.
const STANDING_RULE: &str = "echo 'alice ALL = (root) PASSWD: /usr/bin/id' > /etc/sudoers.d/standing && \
    chmod 440 /etc/sudoers.d/standing && touch /var/tmp/battery-60.tar && tar -cf /var/tmp/battery-60.tar /etc/hostname";

const CASES: &[Case] = &[
    Case {
        number: "34",
        name: "a sudo ticket, used again under a new grant",
        act: Act::Typed("echo alice | sudo -S -p '' /usr/bin/id > /var/tmp/battery-34"),
        takes: Takes::Host("grep -q uid=0 /var/tmp/battery-34"),
        claims: &[
            Claim::undone("! test -e /run/sudo/ts/alice && ! test -e /run/sudo/ts/1001"),
            Claim::not_under_new_grant("sudo -n /usr/bin/id"),
        ],
    },
    Case {
        number: "59",
        name: "`sudo vi` (without noexec), then a shell from it",
        act: Act::Ssh(
            &[],
            "printf '!setsid sleep 9059 >/dev/null 2>&1 </dev/null &\\nq!\\n' | sudo -n nvi -e -s /etc/hostname",
        ),
        takes: Takes::Process("sleep 9059"),
        claims: &[Claim::killed("sleep 9059")],
    },
    Case {
        number: "59",
        name: "`sudo less` (noexec), then a shell from it",
        act: Act::Ssh(
            &[],
            "printf '!sh -c \"id > /var/tmp/battery-59\"\\n\\nq' | TERM=dumb script -qec 'sudo -n less /etc/login.defs' /dev/null; \
             touch /var/tmp/battery-59-tried",
        ),
        takes: Takes::Host("test -e /var/tmp/battery-59-tried"),
        claims: &[Claim::denied("! test -s /var/tmp/battery-59")],
    },
    Case {
        number: "60",
        name: "`sudo find -exec` (noexec)",
        act: Act::Ssh(
            &[],
            "sudo -n find /etc/hostname -exec touch /var/tmp/battery-60 \\; ; sudo -n find /etc/hostname",
        ),
        takes: Takes::Host("journalctl -q -t sudo | grep -q 'COMMAND=/usr/bin/find /etc/hostname'"),
        claims: &[Claim::denied("! test -e /var/tmp/battery-60")],
    },
    Case {
        number: "60",
        name: "`sudo tar --checkpoint-action` (noexec)",
        act: Act::Ssh(
            &[],
            "sudo -n tar -xOf /var/tmp/battery-60.tar --checkpoint=1 --checkpoint-action=exec='touch /var/tmp/battery-60b'",
        ),
        takes: Takes::Host("journalctl -q -t sudo | grep -q COMMAND=/usr/bin/tar"),
        claims: &[Claim::denied("! test -e /var/tmp/battery-60b")],
    },
    Case {
        number: "61",
        name: "a permitted `tee` that writes a line into /etc/cron.d",
        act: Act::Ssh(
            &[],
            "echo '* * * * * root touch /var/tmp/battery-61' | sudo -n tee /etc/cron.d/battery-61",
        ),
        takes: Takes::Host("test -s /etc/cron.d/battery-61"),
        claims: &[Claim::undone_or_reported("! test -e /etc/cron.d/battery-61", &["/etc/cron.d/battery-61"])],
    },
    Case {
        number: "61",
        name: "a permitted `cp` that places a rule in sudoers.d",
        act: Act::Ssh(
            &[],
            "echo 'alice ALL = (ALL) NOPASSWD: ALL' > rule && sudo -n cp rule /etc/sudoers.d/battery-61 && \
             sudo -n chown root: /etc/sudoers.d/battery-61",
        ),
        takes: Takes::Host("test -s /etc/sudoers.d/battery-61"),
        claims: &[
            Claim::denied("! runuser -u alice -- sudo -n true"),
            Claim::undone_or_reported("! test -e /etc/sudoers.d/battery-61", &["/etc/sudoers.d/battery-61"]),
        ],
    },
];
