/* SPDX-License-Identifier: MIT
 *
 * ungoverned.c: makes one call many times, for a tracer or a profiler to count what it costs.
 *
 *     ungoverned poll|select|epoll_wait|epoll_ctl|close|toggle|toggle-late COUNT PIPES
 *
 * What is waited for are that many pipes; the process also has a listener on which it has accepted, so a shim is at
 * work. epoll_ctl changes a pipe in an epoll that holds the listener. toggle puts the listener into the epoll of the
 * pipes and out again, as servers that take turns; toggle-late serves a client meanwhile who introduces itself late.
 * The calls stand in call_many, between two getppid.
 */
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST 64

static int pipes[MOST], count, above, epoll, epoll_with_listener, listener;
static struct sockaddr_in own;

static void accept_once(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t length = sizeof any;
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    if (setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
        bind(l, (struct sockaddr *)&any, length) != 0 || listen(l, 5) != 0 ||
        getsockname(l, (struct sockaddr *)&any, &length) != 0 || connect(c, (struct sockaddr *)&any, length) != 0 ||
        close(accept(l, NULL, NULL)) != 0)
        err(1, "accept");
    listener = l;
    own = any;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    epoll_with_listener = epoll_create1(0);
    if (epoll_ctl(epoll_with_listener, EPOLL_CTL_ADD, l, &(struct epoll_event){.data.fd = l}) != 0)
        err(1, "epoll_ctl");
}

static void one_poll(void)
{
    static struct pollfd p[MOST];
    for (int i = 0; i < count; i++)
        p[i] = (struct pollfd){.fd = pipes[i], .events = POLLIN};
    if (poll(p, (nfds_t)count, 0) != 0)
        err(1, "poll");
}

static void one_select(void)
{
    struct timeval at_once = {0};
    fd_set set;
    FD_ZERO(&set);
    for (int i = 0; i < count; i++)
        FD_SET(pipes[i], &set);
    if (select(above, &set, NULL, NULL, &at_once) != 0)
        err(1, "select");
}

static void one_epoll_wait(void)
{
    struct epoll_event e[MOST];
    if (epoll_wait(epoll, e, MOST, 0) != 0)
        err(1, "epoll_wait");
}

static void one_epoll_ctl(void)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = pipes[0]};
    if (epoll_ctl(epoll_with_listener, EPOLL_CTL_MOD, pipes[0], &e) != 0)
        err(1, "epoll_ctl");
}

static void one_close(void)
{
    if (close(-1) == 0)
        err(1, "close");
}

static void toggle(void)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) != 0 || epoll_ctl(epoll, EPOLL_CTL_DEL, listener, NULL) != 0)
        err(1, "epoll_ctl");
}

static void toggle_late(void)
{
    static const char header[] = "PROXY TCP4 203.0.113.7 192.0.2.10 4711 3306\r\n";
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    struct pollfd p = {.fd = listener, .events = POLLIN};
    int c = socket(AF_INET, SOCK_STREAM, 0);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) != 0 || bind(c, (struct sockaddr *)&from, sizeof from) != 0 ||
        connect(c, (struct sockaddr *)&own, sizeof own) != 0 || syscall(SYS_poll, &p, 1, -1) != 1)
        err(1, "client");
    if (epoll_wait(epoll, &e, 1, 0) != 0)
        errx(1, "told of a client that is silent");
    if (write(c, header, sizeof header - 1) != sizeof header - 1 || epoll_wait(epoll, &e, 1, -1) != 1 ||
        close(accept(listener, NULL, NULL)) != 0 || epoll_ctl(epoll, EPOLL_CTL_DEL, listener, NULL) != 0 ||
        close(c) != 0)
        err(1, "late client");
}

void call_many(void (*call)(void), long times);
__attribute__((noinline)) void call_many(void (*call)(void), long times)
{
    while (times-- > 0)
        call();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*call)(void);
    } calls[] = {{"poll", one_poll},           {"select", one_select}, {"epoll_wait", one_epoll_wait},
                 {"epoll_ctl", one_epoll_ctl}, {"close", one_close},   {"toggle", toggle},
                 {"toggle-late", toggle_late}};
    void (*call)(void) = NULL;
    for (size_t i = 0; argc == 4 && i < sizeof calls / sizeof *calls; i++)
        if (strcmp(argv[1], calls[i].name) == 0)
            call = calls[i].call;
    if (!call || atoi(argv[3]) > MOST)
        errx(64, "usage: ungoverned poll|select|epoll_wait|epoll_ctl|close|toggle|toggle-late COUNT PIPES");
    accept_once();
    epoll = epoll_create1(0);
    for (; count < atoi(argv[3]); count++) {
        struct epoll_event e = {.events = EPOLLIN};
        int ends[2];
        if (pipe(ends) != 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &e) != 0)
            err(1, "pipe");
        pipes[count] = ends[0];
        above = ends[0] + 1;
    }
    if (epoll_ctl(epoll_with_listener, EPOLL_CTL_ADD, pipes[0], &(struct epoll_event){.data.fd = pipes[0]}) != 0)
        err(1, "epoll_ctl");
    call(); /* whatever is looked up once, is now */
    syscall(SYS_getppid);
    call_many(call, atol(argv[2]));
    syscall(SYS_getppid);
    return 0;
}
