# Makes a lab host of a plain Debian tree. $1 is its root. Runs once, when the image is built.
set -eu
root=$1

for user in alice:1001 bob:1002 carol:1003 rescue:1900; do
    chroot "$root" useradd --create-home --shell /bin/bash --uid "${user#*:}" "${user%:*}"
done
printf 'root:root\nalice:alice\nbob:bob\ncarol:carol\nrescue:rescue\n' | chroot "$root" chpasswd

# Keys belong to a lab, not to the image: each host gets /etc/ssh/lab-keys and its own host key.
rm -f "$root"/etc/ssh/ssh_host_*
cat > "$root/etc/ssh/sshd_config.d/lab.conf" <<'CONF'
AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/lab-keys/%u
PasswordAuthentication no
UseDNS no
CONF

mkdir -p "$root/var/log/journal"
: > "$root/etc/machine-id"
: > "$root/etc/default/locale"
rm -f "$root/etc/resolv.conf"
: > "$root/etc/resolv.conf"
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/etc/apt/apt.conf.d/99mmdebstrap
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin

# Work that a host of a few minutes does not need, and consoles that it does not have.
for unit in apt-daily.timer apt-daily-upgrade.timer fstrim.timer e2scrub_all.timer e2scrub_reap.service \
    dpkg-db-backup.timer systemd-pstore.service console-getty.service getty@tty1.service \
    sys-kernel-debug.mount sys-kernel-tracing.mount; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
