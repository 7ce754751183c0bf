# Boots one virtual machine and becomes it. Runs in a mount namespace of its own.
# $1 lab id, $2 host, $3 the emulator's tree, $4 the image's folder, $5 the host's folder, $6 its port, $7 its hardware address.
set -eu
id=$1 host=$2 emulator=$3 image=$4 dir=$5 port=$6 address=$7

[ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] || mount -t cgroup2 none /sys/fs/cgroup
cgroup=/sys/fs/cgroup/$id/$host
mkdir -p "$cgroup"
echo $$ > "$cgroup/cgroup.procs"
mount --rbind /dev "$emulator/dev"
mount --bind "$image" "$emulator/lab/image"
mount --bind "$dir" "$emulator/lab/host"
cd /
[ -e "$dir/disk.qcow2" ] ||
    chroot "$emulator" qemu-img create -q -f qcow2 -b /lab/image/root.img -F raw /lab/host/disk.qcow2
# What the guest did not write is lost in a power cut, as on a machine; what it wrote needs no sync of ours.
# It takes whatever it gets: what runs beside it comes first.
exec nsenter --net="/run/netns/$id-sw" -- nice -n 5 chroot "$emulator" qemu-system-x86_64 \
    -name "$id-$host" -nodefaults -no-user-config -display none -monitor none \
    -machine q35 -accel tcg,thread=multi,tb-size=192 -cpu max -smp 2 -m 768 \
    -kernel /lab/image/vmlinuz -initrd /lab/image/initrd.img \
    -append "root=/dev/vda rw console=ttyS0 init=/usr/sbin/lab-init quiet mitigations=off" \
    -drive file=/lab/host/disk.qcow2,if=virtio,format=qcow2,cache=unsafe \
    -drive file=/lab/host/identity.tar,if=virtio,format=raw,readonly=on \
    -drive file=/lab/host/inbox,if=virtio,format=raw,readonly=on \
    -netdev "tap,id=switch,ifname=$port,script=no,downscript=no" \
    -device "virtio-net-pci,netdev=switch,mac=$address" -device virtio-rng-pci -device virtio-serial-pci \
    -chardev socket,id=agent,path=/lab/host/agent.sock,server=on,wait=off \
    -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0 \
    -chardev socket,id=console,path=/lab/host/console.sock,server=on,wait=off,logfile=/lab/host/console.log,logappend=on \
    -serial chardev:console
