# SPDX-License-Identifier: MIT
"""small_server.py: a server that tells each client who it is, in a few lines of Perl: every Debian has that."""
from harness import BALANCER, Process, dial, proxy_v2, read_to_end, reserve_port, tool

TELLS_ITS_PEERS = """
use IO::Socket::INET;
my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $ARGV[0], Listen => 9, ReuseAddr => 1)
    or die "listen: $!";
$| = 1;
print "ready\\n";
while (my $connection = $listener->accept) {
    print $connection $connection->peerhost, " ", $connection->peerport;
    close $connection;
}
"""


class Server(Process):
    """In the directory `inside`, as its root, if there is one."""
    name = "server"
    ready_line = "^ready$"

    def __init__(self, directory, inside=None, **env):
        super().__init__(directory, {"PPSHIM_TRUST": BALANCER, **{name: str(value) for name, value in env.items()}})
        self.inside = [tool("env"), "-u", "LD_PRELOAD", tool("chroot"), inside, "/usr/bin/env",
                       f"LD_PRELOAD={self.env['LD_PRELOAD']}"] if inside else []
        self.port = reserve_port()

    def argv(self):
        return [*self.inside, "/usr/bin/perl", "-e", TELLS_ITS_PEERS, self.port]

    def ask(self):
        """Who it says the client of a proxied connection is."""
        with dial(("127.0.0.1", self.port), BALANCER) as sock:
            sock.sendall(proxy_v2())
            address, port = read_to_end(sock).decode().split()
            return address, int(port)
