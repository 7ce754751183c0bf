//! Processes and connections of somebody who may only log in.

use super::case::{Act, Case, Claim, Takes};
use super::round::{End, Family, Round};

pub(super) const FAMILY: Family = Family {
    name: "processes",
    rounds: &[
        Round::new("login", "web-forward", End::Revoked, CASES)
            .on(PEERS)
            .beside("ssh-agent -a {dir}/agent-10"),
        Round::new("login", "web-login", End::Natural(25), AT_ITS_TIME),
        Round::new("login", "web-login", End::GivenBack, STUBBORN),
        Round::new("login", "web-login", End::Locked, STUBBORN),
    ],
};

/// A peer for the shell that calls out, somebody else's process that takes a terminal, and a process of the user's own that
/// does not come from any window.
const PEERS: &str = "systemd-run -q --unit=battery-peer sh -c 'sleep infinity | nc -l 127.0.0.1 7022' && \
    systemd-run -q --unit=battery-bob --uid=bob bash -c 'until [ -s /var/tmp/battery-21 ]; do sleep 0.1; done; \
    exec 7<>$(cat /var/tmp/battery-21); exec sleep 8021' && \
    systemd-run -q --unit=battery-standing --uid=alice sleep 8020";

const MUX: &[&str] =
    &["-o", "ControlMaster=yes", "-o", "ControlPersist=yes", "-o", "ControlPath={dir}/mux-7"];
/// Only through the connection that stands: a new one cannot be opened this way.
const THROUGH_MUX: &[&str] =
    &["-o", "ControlMaster=no", "-o", "ControlPath={dir}/mux-7", "-o", "ProxyCommand=false"];

const CASES: &[Case] = &[
    Case {
        number: "1",
        name: "`tmux new -d`, a detached terminal",
        act: Act::Ssh(&[], "tmux new -d 'sleep 9001'"),
        takes: Takes::Process("sleep 9001"),
        claims: &[Claim::killed("sleep 9001"), Claim::ended("! pgrep -u alice tmux")],
    },
    Case {
        number: "2",
        name: "`nohup` in the background, then exit",
        act: Act::Ssh(&[], "nohup sleep 9002 >/dev/null 2>&1 </dev/null & exit"),
        takes: Takes::Process("sleep 9002"),
        claims: &[Claim::killed("sleep 9002")],
    },
    Case {
        number: "3",
        name: "`setsid` in a subshell",
        act: Act::Ssh(&[], "(setsid sh -c 'sleep 9003 & sleep 9103' >/dev/null 2>&1 </dev/null &)"),
        takes: Takes::Process("sleep 9103"),
        claims: &[Claim::killed("sleep 9003"), Claim::killed("sleep 9103")],
    },
    Case {
        number: "4",
        name: "a shell that traps TERM, HUP and INT",
        act: Act::Ssh(
            &[],
            "setsid sh -c 'trap \"\" TERM HUP INT; exec sleep 9004' >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Process("sleep 9004"),
        claims: &[Claim::killed("sleep 9004")],
    },
    Case {
        number: "5",
        name: "a loop that forks, and a process that lives on in its children",
        act: Act::Ssh(
            &[],
            "setsid sh -c 'while :; do sleep 9005 & sleep 0.1; done' >/dev/null 2>&1 </dev/null & \
             setsid perl -e '$0 = \"battery-5\"; while (1) { exit if fork; select undef, undef, undef, 0.01 }' \
             >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host("pgrep -xf battery-5 && pgrep -xf 'sleep 9005'"),
        claims: &[Claim::killed("sleep 9005"), Claim::killed("battery-5")],
    },
    Case {
        number: "6",
        name: "`kill -STOP $$`, a process that is stopped",
        act: Act::Ssh(
            &[],
            "setsid bash -c 'exec -a battery-6 sh -c \"kill -STOP \\$\\$; :\"' >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host("ps -o stat=,args= -u alice | grep -q '^T.*battery-6'"),
        claims: &[Claim::ended("! pgrep -u alice -f battery-6")],
    },
    Case {
        number: "7",
        name: "ssh ControlMaster, a channel opened later",
        act: Act::Ssh(MUX, "true"),
        takes: Takes::Ssh(THROUGH_MUX, "true"),
        claims: &[Claim::no_entry("alice", THROUGH_MUX, "true"), Claim::no_entry("alice", &[], "true")],
    },
    Case {
        number: "8",
        name: "`ssh -N -R`, a forwarding without a terminal",
        act: Act::Held(&["-N", "-R", "9008:localhost:22"], "true"),
        takes: Takes::Host("ss -ltn | grep -q :9008"),
        claims: &[Claim::ended("! ss -ltn | grep -q :9008")],
    },
    Case {
        number: "9",
        name: "`sftp` held open",
        act: Act::Held(&["-s"], "sftp"),
        takes: Takes::Host("pgrep -u alice sftp-server"),
        claims: &[Claim::ended("! pgrep -u alice sftp-server")],
    },
    Case {
        number: "10",
        name: "a forwarded agent's socket, used again",
        act: Act::Held(
            &["-o", "IdentityAgent={dir}/agent-10", "-o", "ForwardAgent=yes"],
            "echo $SSH_AUTH_SOCK > /var/tmp/battery-10; exec sleep 9010",
        ),
        takes: Takes::Host("test -S \"$(cat /var/tmp/battery-10)\""),
        claims: &[
            Claim::ended("! ss -xl | grep -qF \"$(cat /var/tmp/battery-10)\""),
            Claim::undone_or_reported("! test -e \"$(cat /var/tmp/battery-10)\"", &["sockets /tmp/ssh-"]),
        ],
    },
    Case {
        number: "14",
        name: "`systemd-run --user`",
        act: Act::Ssh(&[], "systemd-run --user -q sleep 9014"),
        takes: Takes::Process("/usr/bin/sleep 9014"),
        claims: &[Claim::killed("/usr/bin/sleep 9014")],
    },
    Case {
        number: "17",
        name: "`unshare -Urpf`, namespaces of its own",
        act: Act::Ssh(&[], "setsid unshare -Urpf sleep 9017 >/dev/null 2>&1 </dev/null &"),
        takes: Takes::Process("sleep 9017"),
        claims: &[Claim::killed("sleep 9017")],
    },
    Case {
        number: "20",
        name: "ptrace of the user's own standing process",
        act: Act::Ssh(
            &[],
            "setsid strace -qq -o /dev/null -p $(pgrep -xf '/usr/bin/sleep 8020') >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host("grep -q 'TracerPid:.[1-9]' /proc/$(pgrep -xf '/usr/bin/sleep 8020')/status"),
        claims: &[Claim::ended("! pgrep -x strace"), Claim::in_receipt(&["ptrace_scope"])],
    },
    Case {
        number: "21",
        name: "a terminal passed to another user's process",
        act: Act::Typed("tty > /var/tmp/battery-21; chmod 666 $(tty)"),
        takes: Takes::Host("ls -l /proc/$(pgrep -xf 'sleep 8021')/fd | grep -q pts"),
        claims: &[
            // Without the terminal's other side nothing can be read or written through it.
            Claim::ended("! ls -l /proc/$(pgrep -xf 'sleep 8021')/fd | grep pts | grep -qv deleted"),
            Claim::in_receipt(&["(sleep)", "holds a descriptor of /dev/pts/"]),
        ],
    },
    Case {
        number: "22",
        name: "a shell to a TCP peer in the background",
        act: Act::Ssh(
            &[],
            "setsid bash -c 'exec -a battery-22 bash <>/dev/tcp/127.0.0.1/7022 >&0 2>&1' >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host("pgrep -xf battery-22 && ss -tn | grep -q :7022"),
        claims: &[Claim::killed("battery-22"), Claim::ended("! ss -tn state established | grep -q :7022")],
    },
    Case {
        number: "23",
        name: "an sshd of one's own on another port",
        act: Act::Ssh(
            &[],
            "ssh-keygen -q -t ed25519 -N '' -f ~/hostkey </dev/null >/dev/null; \
             /usr/sbin/sshd -f /dev/null -p 9023 -h ~/hostkey -o UsePAM=no -o PidFile=none >/dev/null 2>&1 </dev/null",
        ),
        takes: Takes::Host("ss -ltn | grep -q :9023"),
        claims: &[
            Claim::ended("! ss -ltn | grep -q :9023"),
            Claim::no_entry("alice", &["-p", "9023"], "true"),
        ],
    },
];

/// For every way in which a window ends.
const STUBBORN: &[Case] = &[TRAPS, USER_UNIT];
const AT_ITS_TIME: &[Case] = &[
    TRAPS,
    Case {
        claims: &[
            Claim::killed("sleep 9214").late(5.0, SECOND_STROKE),
            Claim::ended("! pgrep -u alice -x systemd").late(5.0, SECOND_STROKE),
        ],
        ..USER_UNIT
    },
];
const SECOND_STROKE: &str =
    "the window's end first asks; what ignores TERM outside the login's scope is killed 1.5 s later";

const TRAPS: Case = Case {
    number: "4",
    name: "a shell that traps TERM, HUP and INT",
    act: Act::Typed("setsid sh -c 'trap \"\" TERM HUP INT; sleep 9204 & sleep 9304' &"),
    takes: Takes::Process("sleep 9304"),
    claims: &[
        Claim::killed("sleep 9204"),
        Claim::killed("sleep 9304"),
        Claim::ended("! loginctl list-sessions --no-legend | grep -q alice"),
        Claim::no_entry("alice", &[], "true"),
    ],
};

const USER_UNIT: Case = Case {
    number: "14",
    name: "`systemd-run --user`, traps TERM",
    act: Act::Ssh(&[], "systemd-run --user -q sh -c 'trap \"\" TERM; exec sleep 9214'"),
    takes: Takes::Process("sleep 9214"),
    claims: &[Claim::killed("sleep 9214"), Claim::ended("! pgrep -u alice -x systemd")],
};
