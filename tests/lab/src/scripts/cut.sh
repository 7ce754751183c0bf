# A power cut: every process of one host dies at once. Runs in a mount namespace of its own. $1 lab id, $2 host.
[ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] || mount -t cgroup2 none /sys/fs/cgroup
cd "/sys/fs/cgroup/$1/$2" || exit 0
echo 1 > cgroup.kill
for _ in $(seq 2000); do
    find . -depth -mindepth 1 -type d -exec rmdir {} + 2>/dev/null
    rmdir "/sys/fs/cgroup/$1/$2" 2>/dev/null && exit 0
    sleep 0.05
done
exit 1
