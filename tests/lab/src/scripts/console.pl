# Gives a program a terminal of its own, as a console is one: it outlives a hang-up. A later release's login hangs its terminal up before it
# asks (vhangup), so that nobody who had it before reads on; script(1) takes that for the end.
# $1 a line of shell, one command. Ends with it, or when nobody types any more.
use strict;
use warnings;
use Errno qw(EINTR);
use Fcntl qw(O_RDWR O_NOCTTY);
use POSIX qw(setsid WNOHANG);

use constant { TIOCSPTLCK => 0x40045431, TIOCGPTN => 0x80045430 };

my ($line) = @ARGV;
my ($unlock, $number) = (pack('i', 0), pack('i', 0));
sysopen(my $terminal, '/dev/ptmx', O_RDWR | O_NOCTTY) or die "console: /dev/ptmx: $!\n";
ioctl($terminal, TIOCSPTLCK, $unlock) or die "console: unlocking a terminal: $!\n";
ioctl($terminal, TIOCGPTN, $number) or die "console: naming a terminal: $!\n";
my $name = '/dev/pts/' . unpack('i', $number);

my $child = fork // die "console: fork: $!\n";
if ($child == 0) {
    # The leader of a session gets the first terminal that it opens.
    setsid();
    close($terminal);
    open(STDIN, '+<', $name) or die "console: $name: $!\n";
    open(STDOUT, '>&', \*STDIN) && open(STDERR, '>&', \*STDIN) or die "console: $name: $!\n";
    # No shell stays between: the hang-up would end it.
    exec('/bin/sh', '-c', "exec $line") or die "console: $line: $!\n";
}

# Passes on what is there. False at the end of it.
sub pass {
    my ($from, $to) = @_;
    my $count = sysread($from, my $bytes, 4096);
    return $!{EINTR} unless defined $count;
    for (my $done = 0; $done < $count;) {
        $done += syswrite($to, $bytes, $count - $done, $done) // return 0;
    }
    return $count;
}

my $status;
while (1) {
    my $ready = '';
    vec($ready, fileno($_), 1) = 1 for *STDIN, $terminal;
    # Without anything to read after the end, whatever still holds the terminal is not waited for.
    my $some = select($ready, undef, undef, 0.05);
    last if defined $status && $some == 0;
    if ($some > 0 && vec($ready, fileno(STDIN), 1)) {
        last unless pass(*STDIN, $terminal);
    }
    if ($some > 0 && vec($ready, fileno($terminal), 1) && !pass($terminal, *STDOUT)) {
        last if defined $status;
        # Hung up, and perhaps opened again in a moment.
        select(undef, undef, undef, 0.02);
    }
    $status = $? if !defined $status && waitpid($child, WNOHANG) == $child;
}
exit(defined $status ? ($status & 127 ? 128 + ($status & 127) : $status >> 8) : 1);
