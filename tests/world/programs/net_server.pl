# SPDX-License-Identifier: MIT
# Tells who asks it, by Net::Server: net_server.pl PERSONALITY HOST PORT
use strict;
use warnings;

package Who;
require Net::Server;
my ($personality, $host, $port) = @ARGV;
eval "require Net::Server::$personality" or die $@;
our @ISA = ("Net::Server::$personality");

sub process_request {
    my $self = shift;
    (<STDIN> // "") =~ /^GET / or return;
    while (my $line = <STDIN>) {
        last if $line =~ /^\r?$/;
    }
    my ($address, $from) = @{$self->{server}}{qw(peeraddr peerport)};
    $self->log(1, "served $address $from");
    print "HTTP/1.0 200 OK\r\n\r\n$address $from";
}

Who->run(host => $host, port => "$port/tcp", ipv => 4, log_level => 2, no_client_stdout => 0, min_servers => 3,
    max_servers => 20, min_spare_servers => 2, max_spare_servers => 5);
