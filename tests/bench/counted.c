/* SPDX-License-Identifier: MIT
 *
 * counted.c: a server whose system calls and instructions are counted. It does nothing for a connection but what is
 * the same every time.
 *
 *     counted accept|poll|select|epoll|epoll-et|epoll-oneshot [THREADS]
 *
 * Prints its port and its pid, and waits for a line on stdin. Then it takes one connection after the other, waiting for
 * each in that way (accept: in a blocking one, in so many threads), and does what its first byte says:
 *     ?  answers "!"
 *     n  asks for the peer's name first
 *     h  answers "h", says "held" on stdout, and waits for a line on stdin
 *     q  answers "q" and exits
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener, epoll = -1;
static bool one_shot;

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

static void be_held(void)
{
    char line[8];
    if (read(0, line, sizeof line) <= 0)
        exit(0);
}

static void in_accept(void)
{
}

static void in_poll(void)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    if (poll(&p, 1, -1) != 1)
        err(1, "poll");
}

static void in_select(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(listener, &set);
    if (select(listener + 1, &set, NULL, NULL, NULL) != 1)
        err(1, "select");
}

static void in_epoll(void)
{
    struct epoll_event e;
    if (epoll_wait(epoll, &e, 1, -1) != 1)
        err(1, "epoll_wait");
}

static void register_listener(int operation, uint32_t events)
{
    struct epoll_event e = {.events = EPOLLIN | events};
    if (epoll_ctl(epoll, operation, listener, &e) != 0)
        err(1, "epoll_ctl");
}

static const struct style {
    const char *name;
    void (*wait)(void);
    uint32_t events;
} styles[] = {{"accept", in_accept, 0},
              {"poll", in_poll, 0},
              {"select", in_select, 0},
              {"epoll", in_epoll, 0},
              {"epoll-et", in_epoll, EPOLLET},
              {"epoll-oneshot", in_epoll, EPOLLONESHOT},
              {NULL, NULL, 0}};
static const struct style *style = styles;

/* What is counted: to wait and to accept. An edge-triggered listener is asked until it has no more. */
int take(void);
__attribute__((noinline)) int take(void)
{
    static bool more;
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    for (;;) {
        if (!more)
            style->wait();
        int fd = accept(listener, (struct sockaddr *)&peer, &length);
        if (one_shot)
            register_listener(EPOLL_CTL_MOD, EPOLLONESHOT);
        more = fd >= 0 && style->events == EPOLLET;
        if (fd >= 0 || errno != EAGAIN)
            return fd;
    }
}

void ask_name(int fd);
__attribute__((noinline)) void ask_name(int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0)
        err(1, "getpeername");
}

static void answer(int fd, const char *byte)
{
    if (write(fd, byte, 1) != 1)
        err(1, "write");
    close(fd);
}

static void serve(int fd)
{
    char what;
    if (read(fd, &what, 1) != 1)
        err(1, "read");
    if (what == 'n')
        ask_name(fd);
    if (what == 'q') {
        answer(fd, "q");
        exit(0);
    }
    answer(fd, what == 'h' ? "h" : "!");
    if (what == 'h') {
        say("held");
        be_held();
    }
}

static void *take_all(void *unused)
{
    (void)unused;
    for (int fd; (fd = take()) >= 0;)
        serve(fd);
    err(1, "accept");
}

static void listen_somewhere(void)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof where;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&where, length) != 0 || listen(listener, 4096) != 0 ||
        getsockname(listener, (struct sockaddr *)&where, &length) != 0)
        err(1, "listener");
    printf("%d %d\n", ntohs(where.sin_port), getpid());
    fflush(stdout);
}

int main(int argc, char **argv)
{
    while (argc > 1 && style->name && strcmp(style->name, argv[1]) != 0)
        style++;
    if (argc < 2 || !style->name)
        errx(64, "usage: counted accept|poll|select|epoll|epoll-et|epoll-oneshot [THREADS]");
    listen_somewhere();
    if (style->wait == in_epoll) {
        one_shot = style->events == EPOLLONESHOT;
        epoll = epoll_create1(EPOLL_CLOEXEC);
        register_listener(EPOLL_CTL_ADD, style->events);
    }
    if (style->wait != in_accept && fcntl(listener, F_SETFL, O_NONBLOCK) != 0)
        err(1, "fcntl");
    be_held();
    pthread_t thread;
    for (int more = argc > 2 ? atoi(argv[2]) - 1 : 0; more > 0; more--)
        if (pthread_create(&thread, NULL, take_all, NULL) != 0)
            errx(1, "thread");
    take_all(NULL);
    return 0;
}
