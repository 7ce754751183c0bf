//! Ways back in that somebody who may only log in can prepare.

use super::case::{Act, Case, Claim, Takes};
use super::round::{End, Family, Round};

pub(super) const FAMILY: Family =
    Family { name: "access", rounds: &[Round::new("login", "web-login", End::Revoked, CASES)] };

const CASES: &[Case] = &[
    Case {
        number: "18",
        name: "a key added to ~/.ssh/authorized_keys",
        act: Act::Ssh(&[], "mkdir -pm 700 ~/.ssh && cat /etc/ssh/lab-keys/carol >> ~/.ssh/authorized_keys"),
        takes: Takes::Ssh(&["-i", "{dir}/keys/carol"], "true"),
        claims: &[
            Claim::no_entry("alice", &["-i", "{dir}/keys/carol"], "true"),
            Claim::undone_or_reported("! grep -q carol ~alice/.ssh/authorized_keys", &["authorized_keys"]),
        ],
    },
    Case {
        number: "19",
        name: "`~/.bashrc`",
        act: Act::Ssh(&[], "echo ': battery-19' >> ~/.bashrc"),
        takes: Takes::Host("grep -q battery-19 ~alice/.bashrc"),
        claims: &[Claim::undone_or_reported("! grep -q battery-19 ~alice/.bashrc", &[".bashrc"])],
    },
    Case {
        number: "19",
        name: "`~/.ssh/rc`, run by sshd at the next login",
        act: Act::Ssh(&[], "mkdir -pm 700 ~/.ssh && echo 'touch /var/tmp/battery-19' > ~/.ssh/rc"),
        takes: Takes::Host("test -s ~alice/.ssh/rc"),
        claims: &[Claim::undone_or_reported("! test -e ~alice/.ssh/rc", &[".ssh/rc"])],
    },
];
