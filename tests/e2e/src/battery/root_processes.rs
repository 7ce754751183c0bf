//! Full root: processes in and out of its scope.

use super::case::{Act, Answer, Case, Claim, ROOT_WAS_USED, Takes};

pub(super) const PROCESSES: &[Case] = &[
    Case {
        number: "23",
        name: "a second sshd of root's on another port",
        act: Act::Ssh(
            &[],
            "sudo -n /usr/sbin/sshd -p 9123 -o UsePAM=no -o PidFile=none -o PermitRootLogin=yes >/dev/null 2>&1 </dev/null",
        ),
        takes: Takes::Ssh(&["-p", "9123", "-o", "HostKeyAlias=web-01"], "true"),
        claims: &[
            Claim::ended("! ss -ltn | grep -q :9123"),
            Claim::no_entry("alice", &["-p", "9123", "-o", "HostKeyAlias=web-01"], "true"),
        ],
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
        name: "`sudo setsid bash -c ... &`",
        act: Act::Ssh(
            &[],
            "sudo -n setsid bash -c 'trap \"\" TERM HUP; sleep 9025 & sleep 9125' >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Process("sleep 9125"),
        claims: &[Claim::killed("sleep 9025"), Claim::killed("sleep 9125")],
    },
    Case {
        number: "25",
        name: "`sudo -i`, and a process of a session of its own in it",
        act: Act::Ssh(&[], "sudo -n -i setsid sleep 9225 >/dev/null 2>&1 </dev/null &"),
        takes: Takes::Process("sleep 9225"),
        claims: &[Claim::killed("sleep 9225")],
    },
    Case {
        number: "25",
        name: "`su -` with root's password",
        act: Act::Ssh(&[], "echo root | su - -c 'setsid sleep 9325 >/dev/null 2>&1 </dev/null & sleep 0.3'"),
        takes: Takes::Process("sleep 9325"),
        claims: &[Claim::killed("sleep 9325")],
    },
    Case {
        number: "26",
        name: "doas",
        act: Act::Ssh(&[], "doas -n setsid sleep 9026 >/dev/null 2>&1 </dev/null &"),
        takes: Takes::Process("sleep 9026"),
        claims: &[Claim::killed("sleep 9026")],
    },
    Case {
        number: "26",
        name: "`runuser -l bob`",
        act: Act::Ssh(&[], "sudo -n runuser -l bob -c 'setsid sleep 9126' >/dev/null 2>&1 </dev/null &"),
        takes: Takes::Process("sleep 9126"),
        claims: &[Claim::killed("sleep 9126")],
    },
    Case {
        number: "27",
        name: "pkexec",
        act: Act::Ssh(&[], "sudo -n pkexec setsid sleep 9027 >/dev/null 2>&1 </dev/null &"),
        takes: Takes::Process("sleep 9027"),
        claims: &[Claim::killed("sleep 9027")],
    },
    Case {
        number: "27",
        name: "run0",
        act: Act::None,
        takes: Takes::None,
        claims: &[Claim::cannot(
            Answer::Killed,
            "systemd 252 of these hosts has no run0; it is tried on Debian 13, beside the battery: killed",
        )],
    },
    Case {
        number: "28",
        name: "`machinectl shell bob@`",
        act: Act::Typed(
            "sudo -n machinectl -q shell bob@ /bin/sh -c 'trap \"\" HUP TERM; exec sleep 9028'; touch /var/tmp/battery-28",
        ),
        // bob has no grant: PAM refuses him in the unit that PID 1 starts.
        takes: Takes::Host("test -e /var/tmp/battery-28"),
        claims: &[Claim::denied("! pgrep -xf 'sleep 9028'")],
    },
    Case {
        number: "28",
        name: "`machinectl shell root@`",
        act: Act::Typed("sudo -n machinectl -q shell root@ /bin/sh -c 'trap \"\" HUP TERM; exec sleep 9128'"),
        takes: Takes::Process("sleep 9128"),
        // PID 1 runs it, with a login of its own, and does not tell who asked.
        claims: &[Claim::in_receipt(&["container-shell@"]), ROOT_WAS_USED],
    },
    Case {
        number: "29",
        name: "`systemd-run --unit=x`",
        act: Act::Ssh(&[], "sudo -n systemd-run -q --unit=battery-29 sleep 9029"),
        takes: Takes::Process("/usr/bin/sleep 9029"),
        claims: &[Claim::in_receipt(&["battery-29.service"]), ROOT_WAS_USED],
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
        name: "a process moved into the cgroup of a service",
        act: Act::Ssh(
            &[],
            "sudo -n setsid sh -c 'echo $$ > /sys/fs/cgroup/system.slice/cron.service/cgroup.procs; \
             exec sleep 9131' >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host("grep -q cron.service /proc/$(pgrep -xf 'sleep 9131')/cgroup"),
        claims: &[Claim::killed("sleep 9131"), Claim::ended("systemctl is-active cron")],
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
        number: "33",
        name: "31 and 32 together",
        act: Act::Ssh(
            &[],
            "sudo -n setsid sh -c 'echo 0 > /proc/self/loginuid; mkdir -p /sys/fs/cgroup/battery2; \
             echo $$ > /sys/fs/cgroup/battery2/cgroup.procs; exec sleep 9033' >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host(
            "grep -qx 0 /proc/$(pgrep -xf 'sleep 9033')/loginuid && grep -q battery2 /proc/$(pgrep -xf 'sleep 9033')/cgroup",
        ),
        // Neither its cgroup nor its login says whose it is.
        claims: &[Claim::in_receipt(&["(sleep)", "/battery2", "of no unit"]), ROOT_WAS_USED],
    },
    Case {
        number: "49",
        name: "a container with the host's root",
        act: Act::Ssh(
            &[],
            "sudo -n setsid unshare -mpuf --mount-proc chroot / sleep 9049 >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Process("sleep 9049"),
        claims: &[Claim::killed("sleep 9049"), ROOT_WAS_USED],
    },
    Case {
        number: "49",
        name: "a container of a daemon (docker, podman)",
        act: Act::None,
        takes: Takes::None,
        claims: &[Claim::cannot(
            Answer::Reported,
            "the battery's hosts have neither; podman is tried beside the battery: killed; what its service runs, or will start, is reported",
        )],
    },
    Case {
        number: "51",
        name: "a debugger in a root daemon",
        act: Act::Ssh(
            &[],
            "sudo -n setsid strace -qq -o /dev/null -p $(pgrep -x cron) >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host("grep -q 'TracerPid:.[1-9]' /proc/$(pgrep -x cron)/status"),
        claims: &[Claim::ended("! pgrep -x strace"), ROOT_WAS_USED],
    },
    Case {
        number: "59",
        name: "`less`, `find -exec` and `tar` under full root, which has no noexec",
        act: Act::Ssh(
            &[],
            "sudo -n find /etc/hostname -exec setsid -f sleep 9159 \\; >/dev/null 2>&1 </dev/null; \
             printf '!setsid -f sleep 9259\n\nq' | TERM=dumb script -qec 'sudo -n less /etc/login.defs' /dev/null >/dev/null 2>&1; \
             tar -cf b.tar .bashrc; sudo -n tar -xOf b.tar --checkpoint=1 --checkpoint-action=exec='setsid -f sleep 9359' \
             >/dev/null 2>&1 </dev/null",
        ),
        takes: Takes::Host("pgrep -xf 'sleep 9159' && pgrep -xf 'sleep 9259' && pgrep -xf 'sleep 9359'"),
        claims: &[Claim::killed("sleep 9159"), Claim::killed("sleep 9259"), Claim::killed("sleep 9359")],
    },
    Case {
        number: "62",
        name: "an open descriptor in a process that tries to survive",
        act: Act::Ssh(
            &[],
            "sudo -n setsid sh -c 'exec 7</etc/shadow; trap \"\" TERM HUP; exec sleep 9062' >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host("ls -l /proc/$(pgrep -xf 'sleep 9062')/fd/7"),
        claims: &[Claim::killed("sleep 9062"), ROOT_WAS_USED],
    },
];

/// The natural end, with the user's own login and root's things beside each other.
pub(super) const AT_ITS_TIME: &[Case] = &[
    Case {
        number: "25",
        name: "`sudo -i` at a terminal, left open",
        act: Act::Typed("sudo -n -i sh -c 'trap \"\" TERM HUP INT; sleep 9425 & sleep 9525'"),
        takes: Takes::Process("sleep 9525"),
        claims: &[
            Claim::killed("sleep 9425"),
            Claim::killed("sleep 9525"),
            Claim::undone("! ls -A /etc/sudoers.d | grep -q zz-stint"),
            Claim::denied("! runuser -u alice -- sudo -n true"),
        ],
    },
    Case {
        number: "31",
        name: "a process moved to another cgroup",
        act: Act::Ssh(
            &[],
            "sudo -n setsid sh -c 'mkdir -p /sys/fs/cgroup/battery3; echo $$ > /sys/fs/cgroup/battery3/cgroup.procs; \
             exec sleep 9231' >/dev/null 2>&1 </dev/null &",
        ),
        takes: Takes::Host("grep -q battery3 /proc/$(pgrep -xf 'sleep 9231')/cgroup"),
        claims: &[Claim::killed("sleep 9231")],
    },
];
