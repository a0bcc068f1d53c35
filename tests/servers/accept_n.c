/* SPDX-License-Identifier: MIT
 *
 * accept_n.c: the barest server, for counting its system calls. accept_n N WAIT WHAT: says its port, waits for a line
 * on stdin (by then N clients stand in the queue), then N times waits, accepts, and closes.
 *   WAIT: accept (a blocking one), poll, epoll (on a non-blocking listener)
 *   WHAT: only-accept; getpeername (once for each connection); talk (reads what there is and answers)
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int epoll_of(int listener)
{
    struct epoll_event e = {.events = EPOLLIN};
    int ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) != 0)
        err(1, "epoll");
    return ep;
}

static int open_listener(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sin, len) != 0 || listen(fd, 1024) != 0)
        err(1, "listener");
    if (getsockname(fd, (struct sockaddr *)&sin, &len) != 0)
        err(1, "getsockname");
    printf("%d\n", ntohs(sin.sin_port));
    fflush(stdout);
    return fd;
}

static void wait_for(int listener, int ep)
{
    struct epoll_event e;
    struct pollfd p = {.fd = listener, .events = POLLIN};
    if (ep >= 0 && epoll_wait(ep, &e, 1, -1) != 1)
        err(1, "epoll_wait");
    if (ep == -2 && poll(&p, 1, -1) != 1)
        err(1, "poll");
}

static void serve(int fd, const char *what)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    char bytes[256];
    if (!strcmp(what, "getpeername") && getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        err(1, "getpeername");
    if (!strcmp(what, "talk")) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n < 0 || write(fd, bytes, (size_t)n) != n)
            err(1, "talk");
    }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        errx(2, "usage: accept_n N accept|poll|epoll only-accept|getpeername|talk");
    int listener = open_listener();
    int ep = !strcmp(argv[2], "epoll") ? epoll_of(listener) : !strcmp(argv[2], "poll") ? -2 : -1;
    if (ep != -1 && fcntl(listener, F_SETFL, O_NONBLOCK) != 0)
        err(1, "fcntl");
    if (getchar() == EOF)
        errx(1, "nobody said go");
    for (int i = 0; i < atoi(argv[1]); i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        wait_for(listener, ep);
        int fd = accept(listener, (struct sockaddr *)&peer, &len);
        if (fd < 0)
            err(1, "accept");
        serve(fd, argv[3]);
        close(fd);
    }
    return 0;
}
