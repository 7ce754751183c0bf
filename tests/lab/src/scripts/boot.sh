# Boots one host and stays as the parent of nspawn, so that a reboot from inside works.
# Runs in a mount namespace of its own. $1 lab id, $2 host, $3 image, $4 the host's folder.
set -eu
id=$1 host=$2 image=$3 dir=$4

mount -t overlay overlay -o "lowerdir=$image,upperdir=$dir/disk,workdir=$dir/work" "$dir/root"
# Hides a v1 or hybrid hierarchy: systemd inside then runs unified.
# With favordynmods, as an armed host of its own has it (`stintd fast-moves`): a container cannot ask for it.
if [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
    mount -t cgroup2 -o favordynmods none /sys/fs/cgroup 2>/dev/null || mount -t cgroup2 none /sys/fs/cgroup
fi
cgroup=/sys/fs/cgroup/$id
mkdir -p "$cgroup/keep" "$cgroup/$host" /run/systemd
echo $$ > "$cgroup/keep/cgroup.procs"
# nspawn's locks and propagation folders, private to each host: names may repeat between labs.
mount -t tmpfs -o mode=755 tmpfs /run/systemd
# Started from somebody's login session, the host must not inherit that login's audit identity.
echo 4294967295 > /proc/self/loginuid 2>/dev/null || true

while :; do
    env -i PATH="$PATH" sh -c 'echo $$ > "$1/cgroup.procs"; cd /; shift; exec "$@"' sh "$cgroup/$host" \
        systemd-nspawn --quiet --boot --register=no --keep-unit --machine="$host" --hostname="$host" \
        --directory="$dir/root" --resolv-conf=off --network-namespace-path="/run/netns/$id-$host" \
        --console=pipe </dev/null &
    child=$!
    echo "$child" > "$dir/pid.new"
    mv "$dir/pid.new" "$dir/pid"
    status=0
    wait "$child" || status=$?
    [ "$status" = 133 ] || break # 133: the host asked for a reboot
done
exit "$status"
