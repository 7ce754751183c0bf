# Waits on stdin until the lab's process has ended or let go, then removes everything that carries the lab's id.
# $1 lab id, $2 the lab's folder.
trap '' INT HUP TERM
id=$1 dir=$2
read -r _

unshare --mount sh -c '
    [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] || mount -t cgroup2 none /sys/fs/cgroup
    cd "/sys/fs/cgroup/$0" 2>/dev/null || exit 0
    echo 1 > cgroup.kill
    for _ in $(seq 2000); do
        find . -depth -mindepth 1 -type d -exec rmdir {} + 2>/dev/null
        rmdir "/sys/fs/cgroup/$0" 2>/dev/null && exit 0
        sleep 0.05
    done' "$id"
for name in /run/netns/"$id"-*; do
    [ -e "$name" ] && ip netns del "${name#/run/netns/}"
done
rm -rf --one-file-system "$dir"
