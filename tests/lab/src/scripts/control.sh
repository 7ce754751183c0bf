# Runs a program on the control side: in the switch's network namespace, with the lab's names, in the lab's cgroup.
# Runs in a mount namespace of its own, and execs, so the caller's child is the program. $1 lab id, $2 folder, $3... argv.
set -eu
id=$1 dir=$2
shift 2
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
    mkdir -p "/sys/fs/cgroup/$id/control"
    echo $$ > "/sys/fs/cgroup/$id/control/cgroup.procs"
else
    mount -t cgroup2 none /sys/fs/cgroup
    mkdir -p "/sys/fs/cgroup/$id/control"
    echo $$ > "/sys/fs/cgroup/$id/control/cgroup.procs"
    umount /sys/fs/cgroup
fi
mount --bind "$dir/hosts" /etc/hosts
exec nsenter --net="/run/netns/$id-sw" -- "$@"
