/* SPDX-License-Identifier: MIT
 *
 * inherited_service.c: what inetd starts: a program that knows nothing of the shim and serves the connections it was
 * given, on fd 0 or on those its arguments name. A client is sent one line, then gets its bytes back until it
 * half-closes.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* getpeername or getsockname */
static const char *end_of(int fd, int (*ask)(int, struct sockaddr *, socklen_t *), char text[128])
{
    struct sockaddr_storage ss;
    struct sockaddr_in *in = (struct sockaddr_in *)&ss;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
    socklen_t len = sizeof ss;
    char ip[INET6_ADDRSTRLEN];
    if (ask(fd, (struct sockaddr *)&ss, &len) != 0)
        return "none";
    if (ss.ss_family == AF_INET)
        snprintf(text, 128, "%s:%d", inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip), ntohs(in->sin_port));
    else
        snprintf(text, 128, "[%s]:%d", inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof ip), ntohs(in6->sin6_port));
    return text;
}

static void say(int fd, const char *text, size_t length)
{
    if (write(fd, text, length) != (ssize_t)length)
        exit(4);
}

static int lowat(int fd)
{
    int bytes = 0;
    socklen_t len = sizeof bytes;
    getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, &len);
    return bytes;
}

static void serve(int fd)
{
    char peer[128], local[128], line[512], data[4096];
    ssize_t n = snprintf(line, sizeof line, "served fd=%d peer=%s local=%s lowat=%d next=%d\n", fd,
                         end_of(fd, getpeername, peer), end_of(fd, getsockname, local), lowat(fd), dup(fd));
    say(fd, line, (size_t)n);
    while ((n = read(fd, data, sizeof data)) > 0)
        say(fd, data, (size_t)n);
    shutdown(fd, SHUT_WR);
}

int main(int argc, char **argv)
{
    if (argc == 1)
        serve(STDIN_FILENO);
    for (int i = 1; i < argc; i++)
        serve(atoi(argv[i]));
    return 0;
}
