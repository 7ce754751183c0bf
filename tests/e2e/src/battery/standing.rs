//! An account with a standing login, whose sudo alone is gated: what is the grant's ends, what is the account's own goes on.

use super::case::{Act, Case, Claim, Takes};
use super::round::{End, Family, Round};

const HOST_TOML: &str = "
[managed]
break_glass_uid = 1900
only = [{ uid = 1001, services = [\"sudo\", \"sudo-i\", \"su\", \"su-l\", \"doas\", \"polkit-1\"] }]

[limits]
register_timeout_ms = 5000

[ceiling]
full_root = true
";

pub(super) const FAMILY: Family = Family {
    name: "standing",
    rounds: &[Round::new("sudo of a standing login", "web-root", End::Revoked, CASES)
        .with(HOST_TOML)
        .on(STANDING)],
};

/// What is the account's own, from before the window.
const STANDING: &str = "systemd-run -q --unit=battery-standing --uid=alice sleep 8001";
const GOES_ON: &str =
    "pgrep -xf '/usr/bin/sleep 8001' && pgrep -xf '/usr/bin/sleep 8002' && pgrep -xf 'sleep 8003'";

const CASES: &[Case] = &[
    Case {
        number: "S1",
        name: "the account's own processes, which must go on",
        act: Act::Ssh(
            &[],
            "systemd-run --user -q sleep 8002; setsid sleep 8003 >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host(GOES_ON),
        claims: &[Claim::goes_on(GOES_ON)],
    },
    Case {
        number: "24",
        name: "`sudo -b`",
        act: Act::Ssh(&[], "sudo -n -b sleep 9024 >/dev/null 2>&1 </dev/null"),
        takes: Takes::Process("sleep 9024"),
        claims: &[Claim::killed("sleep 9024")],
    },
    Case {
        number: "25",
        name: "`sudo su - alice`, back to the account itself",
        act: Act::Ssh(&[], "sudo -n su - alice -c 'setsid sleep 9225' >/dev/null 2>&1 </dev/null &"),
        takes: Takes::Process("sleep 9225"),
        claims: &[Claim::killed("sleep 9225")],
    },
    Case {
        number: "30",
        name: "`systemd-run --scope --slice=system.slice`",
        act: Act::Ssh(
            &[],
            "sudo -n setsid systemd-run -q --scope --slice=system.slice sleep 9030 >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Process("/usr/bin/sleep 9030"),
        claims: &[Claim::killed("/usr/bin/sleep 9030")],
    },
    Case {
        number: "31",
        name: "a process moved to another cgroup",
        act: Act::Ssh(
            &[],
            "sudo -n setsid sh -c 'mkdir -p /sys/fs/cgroup/battery; echo $$ > /sys/fs/cgroup/battery/cgroup.procs; \
             exec sleep 9031' >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host("grep -q battery /proc/$(pgrep -xf 'sleep 9031')/cgroup"),
        claims: &[Claim::killed("sleep 9031")],
    },
    Case {
        number: "31",
        name: "a process of root's, moved into the login's own scope",
        act: Act::Typed(
            "g=$(sed -n s/^0:://p /proc/self/cgroup); sudo -n setsid sh -c \"echo \\$\\$ > /sys/fs/cgroup$g/cgroup.procs; \
             exec sleep 9131\" &",
        ),
        takes: Takes::Host("grep -q session- /proc/$(pgrep -xf 'sleep 9131')/cgroup"),
        claims: &[Claim::killed("sleep 9131")],
    },
    Case {
        number: "32",
        name: "`echo 0 > /proc/self/loginuid`",
        act: Act::Ssh(
            &[],
            "sudo -n setsid sh -c 'echo 0 > /proc/self/loginuid; exec sleep 9032' >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host("grep -qx 0 /proc/$(pgrep -xf 'sleep 9032')/loginuid"),
        claims: &[Claim::killed("sleep 9032")],
    },
    Case {
        number: "62",
        name: "an open descriptor, as the account itself, in a process that tries to survive",
        act: Act::Ssh(
            &[],
            "sudo -n setsid sh -c 'exec 7</etc/shadow; exec setpriv --reuid=alice --regid=alice --clear-groups sleep 9062' \
             >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host("ls -l /proc/$(pgrep -xf 'sleep 9062')/fd/7"),
        claims: &[Claim::killed("sleep 9062")],
    },
];
