/* SPDX-License-Identifier: MIT
 *
 * many_threads.c: a server of many threads and its clients in one process, for ThreadSanitizer and memcheck to
 * watch.
 *
 *     many_threads SECONDS TRUST-FILE
 *
 * Threads block in accept, wait in poll and in epolls of their own; listeners come and go; the trust list is written
 * anew all the time. Clients are live, late, silent, wrong, or go away. Each live or late one must be served. Prints
 * "ok".
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static atomic_bool over;
static atomic_int served;
static int stop; /* readable when the waiting threads are to end */
static int blocking_listener, waited_listener;
static const char *trust_file;

static const char header[] = "PROXY TCP4 203.0.113.7 198.51.100.1 4711 3306\r\n";

static int open_listener(int flags)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | flags, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
        bind(fd, (struct sockaddr *)&any, sizeof any) != 0 || listen(fd, 1024) != 0)
        err(1, "listener");
    return fd;
}

/* --- the server --- */

static void serve_one(int fd)
{
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && peer.sin_addr.s_addr != htonl(0xcb007107))
        errx(1, "a client is called %s", inet_ntoa(peer.sin_addr));
    if (send(fd, "!", 1, MSG_NOSIGNAL) == 1)
        served++;
    close(fd);
}

static void serve_all(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        serve_one(fd);
    if (errno != EAGAIN)
        err(1, "accept");
}

static void *block(void *unused)
{
    int fd;
    while ((fd = accept(blocking_listener, NULL, NULL)) >= 0)
        serve_one(fd);
    return unused; /* shut down */
}

static void *wait_in_poll(void *unused)
{
    struct pollfd p[2] = {{.fd = waited_listener, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
    while (poll(p, 2, -1) > 0 && !p[1].revents)
        serve_all(waited_listener);
    return unused;
}

static void *wait_in_epoll(void *unused)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = waited_listener};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, waited_listener, &e);
    e.data.fd = stop;
    epoll_ctl(epoll, EPOLL_CTL_ADD, stop, &e);
    while (epoll_wait(epoll, &e, 1, -1) == 1 && e.data.fd != stop) {
        serve_all(waited_listener);
        e.events = EPOLLIN;
        epoll_ctl(epoll, EPOLL_CTL_MOD, waited_listener, &e);
    }
    close(epoll);
    return unused;
}

/* --- the clients --- */

static int dial(int listener)
{
    struct sockaddr_in to, from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    socklen_t length = sizeof to;
    static const struct linger at_once = {1, 0};
    static const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);        /* halves of a header are not held back */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once); /* no port is left in TIME_WAIT */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (fd < 0 || getsockname(listener, (struct sockaddr *)&to, &length) != 0)
        err(1, "client");
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        err(1, "client");
    return fd;
}

static void say(int fd, const char *text, size_t length)
{
    if (send(fd, text, length, MSG_NOSIGNAL) != (ssize_t)length)
        err(1, "send");
}

static void is_answered(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;
    if (poll(&p, 1, -1) != 1 || read(fd, &byte, 1) != 1 || byte != '!')
        errx(1, "a client was not served");
    close(fd);
}

static void *be_clients(void *listener)
{
    int l = *(int *)listener;
    while (!over) {
        int late = dial(l), half = dial(l), silent = dial(l), wrong = dial(l), live = dial(l);
        say(live, header, sizeof header - 1);
        say(half, header, 20);
        say(wrong, "GET / HTTP/1.0\r\n\r\n", 18);
        is_answered(live);
        say(late, header, sizeof header - 1);
        is_answered(late);
        say(half, header + 20, sizeof header - 1 - 20);
        is_answered(half);
        close(silent);
        close(wrong);
    }
    return NULL;
}

/* Listeners that end while somebody waits for his turn. */
static void *come_and_go(void *unused)
{
    while (!over) {
        int l = open_listener(SOCK_NONBLOCK);
        struct pollfd p = {.fd = l, .events = POLLIN};
        int silent = dial(l), live = dial(l);
        say(live, header, sizeof header - 1);
        poll(&p, 1, 20000);
        serve_all(l);
        int copy = dup(l);
        poll(&p, 1, 0);
        close(l);
        close(copy);
        close(silent);
        is_answered(live);
    }
    return unused;
}

static void *write_trust(void *unused)
{
    char new_file[4096];
    snprintf(new_file, sizeof new_file, "%s.new", trust_file);
    for (int i = 0; !over; i++) {
        FILE *f = fopen(new_file, "we");
        if (!f || fprintf(f, "127.0.0.2\n10.%d.0.0/16\n", i % 256) < 0 || fclose(f) != 0 ||
            rename(new_file, trust_file) != 0)
            err(1, "%s", trust_file);
        usleep(100000);
    }
    return unused;
}

/* --- */

int main(int argc, char **argv)
{
    if (argc != 3)
        errx(64, "usage: many_threads SECONDS TRUST-FILE");
    trust_file = argv[2];
    blocking_listener = open_listener(0);
    waited_listener = open_listener(SOCK_NONBLOCK);
    stop = eventfd(0, EFD_CLOEXEC);
    const struct {
        void *(*run)(void *);
        void *argument;
    } roles[] = {
        {block, NULL},
        {block, NULL},
        {block, NULL},
        {wait_in_poll, NULL},
        {wait_in_epoll, NULL},
        {wait_in_epoll, NULL},
        {be_clients, &blocking_listener},
        {be_clients, &waited_listener},
        {be_clients, &waited_listener},
        {come_and_go, NULL},
        {write_trust, NULL},
    };
    enum { ROLES = sizeof roles / sizeof *roles, FIRST_CLIENT = 6 };
    pthread_t threads[ROLES];
    for (int i = 0; i < ROLES; i++)
        if (pthread_create(&threads[i], NULL, roles[i].run, roles[i].argument) != 0)
            errx(1, "pthread_create");
    sleep((unsigned)atoi(argv[1]));
    over = true;
    for (int i = FIRST_CLIENT; i < ROLES; i++)
        pthread_join(threads[i], NULL);
    eventfd_write(stop, 1);
    shutdown(blocking_listener, SHUT_RDWR);
    for (int i = 0; i < FIRST_CLIENT; i++)
        pthread_join(threads[i], NULL);
    printf("ok served=%d\n", served);
    return 0;
}
