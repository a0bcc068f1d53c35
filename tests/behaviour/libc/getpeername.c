/* SPDX-License-Identifier: MIT
 *
 * getpeername.c: whom getpeername names, of a connection that was accepted and of any other socket.
 */
#include "testing.h"
#include <sys/un.h>

static void reset_connection_has_no_peer(void)
{
    int l = listener(0);
    struct client c = introduced(l);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    MUST(peer_is(fd, &c.in));
    close_at_once(c.fd);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    MUST(poll(&p, 1, -1) == 1);
    FAILS_WITH(ENOTCONN, getpeername(fd, (struct sockaddr *)&address, &length));
}

static void half_closed_connection_keeps_its_peer(void)
{
    int l = listener(0);
    struct client c = introduced(l);
    int fd = accept(l, NULL, NULL);
    char byte;
    MUST(fd >= 0 && shutdown(c.fd, SHUT_WR) == 0 && read(fd, &byte, 1) == 0);
    MUST(peer_is(fd, &c.in));
}

static void peer_is_told_to_copies_and_children(void)
{
    int l = listener(0), status;
    struct client c = introduced(l);
    int fd = accept(l, NULL, NULL), copy = dup(fd);
    MUST(fd >= 0 && copy >= 0 && close(fd) == 0);
    MUST(peer_is(copy, &c.in));
    pid_t child = fork();
    if (child == 0)
        _exit(peer_is(copy, &c.in) ? 0 : 1);
    MUST(waitpid(child, &status, 0) == child && status == 0);
}

/* An address of 16 bytes in hexadecimal, to a program started anew with the connection. */
static void peer_is_told_after_exec(void)
{
    int l = listener(0), status;
    struct client c = introduced(l);
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    pid_t child = fork();
    if (child == 0) {
        char number[16], hex[2 * sizeof c.in + 1];
        snprintf(number, sizeof number, "%d", fd);
        for (size_t i = 0; i < sizeof c.in; i++)
            snprintf(hex + 2 * i, 3, "%02x", ((unsigned char *)&c.in)[i]);
        execl("/proc/self/exe", "getpeername", "--peer-of", number, hex, (char *)NULL);
        _exit(2);
    }
    MUST(waitpid(child, &status, 0) == child && status == 0);
}

static int is_peer_of(int fd, const char *hex)
{
    struct client c;
    for (size_t i = 0; i < sizeof c.in; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        ((unsigned char *)&c.in)[i] = (unsigned char)byte;
    }
    return peer_is(fd, &c.in) ? 0 : 1;
}

static void socket_connected_elsewhere_is_not_misnamed(void)
{
    int l = listener(0), elsewhere = listener(0);
    struct client c = introduced(l);
    struct sockaddr_in nobody = {.sin_family = AF_UNSPEC}, to = {.sin_family = AF_INET, .sin_port = port_of(elsewhere)};
    struct sockaddr_in answer;
    socklen_t length = sizeof answer;
    int fd = accept(l, NULL, NULL);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(fd >= 0);
    MUST(peer_is(fd, &c.in));
    MUST(connect(fd, (struct sockaddr *)&nobody, sizeof nobody) == 0);
    FAILS_WITH(ENOTCONN, getpeername(fd, (struct sockaddr *)&answer, &length));
    MUST(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    MUST(getpeername(fd, (struct sockaddr *)&answer, &length) == 0);
    MUST(length == sizeof to && memcmp(&answer, &to, sizeof to) == 0);
}

static void own_connection_has_its_real_peer(void)
{
    int l = listener(0);
    struct client c = introduced(l);
    struct sockaddr_in answer;
    socklen_t length = sizeof answer;
    MUST(getpeername(c.fd, (struct sockaddr *)&answer, &length) == 0);
    MUST(answer.sin_port == port_of(l) && answer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
}

static void local_address_is_the_sockets_own(void)
{
    int l = listener(0);
    struct client c = introduced(l);
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    MUST(getsockname(fd, (struct sockaddr *)&address, &length) == 0 && length == sizeof address);
    MUST(address.sin_port == port_of(l) && address.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    hang_up(&c, fd);
}

static void unix_sockets_are_left_alone(void)
{
    int pair[2], l = socket(AF_UNIX, SOCK_STREAM, 0), dialled = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX}, answer;
    socklen_t length = sizeof address;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(getpeername(pair[0], (struct sockaddr *)&answer, &length) == 0);
    MUST(length == sizeof(sa_family_t) && answer.sun_family == AF_UNIX);
    MUST(bind(l, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0 && listen(l, 5) == 0); /* autobind */
    length = sizeof address;
    MUST(getsockname(l, (struct sockaddr *)&address, &length) == 0);
    MUST(connect(dialled, (struct sockaddr *)&address, length) == 0);
    MUST(write(dialled, "PROXY UNKNOWN\r\n", 15) == 15);
    length = sizeof answer;
    int fd = accept(l, (struct sockaddr *)&answer, &length);
    char data[16];
    MUST(fd >= 0 && length == sizeof(sa_family_t));
    MUST(read(fd, data, sizeof data) == 15);
}

static void udp_sockets_are_left_alone(void)
{
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)}, answer;
    socklen_t length = sizeof answer;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    FAILS_WITH(ENOTCONN, getpeername(udp, (struct sockaddr *)&answer, &length));
    MUST(connect(udp, (struct sockaddr *)&to, sizeof to) == 0);
    MUST(getpeername(udp, (struct sockaddr *)&answer, &length) == 0);
    MUST(length == sizeof to && memcmp(&answer, &to, sizeof to) == 0);
}

static const struct test cases[] = {
    CASE(reset_connection_has_no_peer),
    CASE(half_closed_connection_keeps_its_peer),
    CASE(peer_is_told_to_copies_and_children),
    CASE(peer_is_told_after_exec),
    CASE(socket_connected_elsewhere_is_not_misnamed),
    CASE(own_connection_has_its_real_peer),
    CASE(local_address_is_the_sockets_own),
    CASE(unix_sockets_are_left_alone),
    CASE(udp_sockets_are_left_alone),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    if (argc == 4 && strcmp(argv[1], "--peer-of") == 0)
        return is_peer_of(atoi(argv[2]), argv[3]);
    return run_case(cases, sizeof cases / sizeof *cases);
}
