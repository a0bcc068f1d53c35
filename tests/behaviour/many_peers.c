/* SPDX-License-Identifier: MIT
 *
 * many_peers.c: what thousands of silent peers cost a server: for each of its live clients, memory, when nobody
 * comes.
 *
 *     many_peers PEERS          prints "ratio=... with=...us without=...us bytes=... cpu=...us"
 *
 * Run under the shim, with 127.0.0.2 trusted and room for the peers. Two copies of one small event-loop server run side
 * by side; the peers wait at one of them. A client connects to them in turn, so that whatever else the machine does
 * falls on both alike. `ratio` compares what each used of the processor for a client, not how long the clients waited:
 * that is the machine's; `bytes` is what the server's memory grew by, a peer; `cpu` what it used in a second in which
 * nobody came.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS 1500

static const char opening[] = "PROXY TCP4 203.0.113.7 198.51.100.1 4711 3306\r\n?";

/* --- the server: one byte after the header is answered by one byte --- */

static void serve_one(int fd)
{
    char byte;
    if (read(fd, &byte, 1) != 1 || write(fd, "!", 1) != 1)
        warn("server");
    close(fd);
}

static void serve(int listener)
{
    struct epoll_event e = {.events = EPOLLIN};
    int fd, epoll = epoll_create1(EPOLL_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    while (epoll_wait(epoll, &e, 1, -1) >= 0)
        while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
            serve_one(fd);
    err(1, "server");
}

struct server {
    pid_t pid;
    struct sockaddr_in where;
};

static struct server start(void)
{
    struct server s = {.where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof s.where;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
        bind(listener, (struct sockaddr *)&s.where, length) != 0 || listen(listener, 4096) != 0 ||
        getsockname(listener, (struct sockaddr *)&s.where, &length) != 0)
        err(1, "listener");
    s.pid = fork();
    if (s.pid == 0)
        serve(listener);
    close(listener);
    return s;
}

/* --- the clients --- */

static int dial(const struct server *s)
{
    static const struct linger at_once = {1, 0};
    static const int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once); /* no port is left in TIME_WAIT */
    if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        connect(fd, (const struct sockaddr *)&s->where, sizeof s->where) != 0)
        err(1, "client");
    return fd;
}

static void live_client(const struct server *s)
{
    char answer;
    int fd = dial(s);
    if (write(fd, opening, sizeof opening - 1) != sizeof opening - 1 || read(fd, &answer, 1) != 1)
        err(1, "client");
    close(fd);
}

/* --- what the kernel says of a server --- */

static double number_in(pid_t pid, const char *file, const char *label)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    FILE *f = fopen(path, "re");
    if (!f)
        err(1, "%s", path);
    size_t length = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[length] = 0;
    const char *at = label ? strstr(text, label) : text;
    if (!at)
        errx(1, "no %s in %s", label, path);
    return strtod(at + (label ? strlen(label) : 0), NULL);
}

static double resident_bytes(const struct server *s)
{
    return number_in(s->pid, "smaps_rollup", "\nPss:") * 1024;
}

static double cpu_microseconds(const struct server *s)
{
    return number_in(s->pid, "schedstat", NULL) / 1000;
}

/* --- */

int main(int argc, char **argv)
{
    int peers = argc == 2 ? atoi(argv[1]) : 0;
    if (peers <= 0)
        errx(64, "usage: many_peers PEERS");
    struct server crowded = start(), empty = start();
    for (int i = 0; i < 50; i++) {
        live_client(&crowded);
        live_client(&empty);
    }
    double before = resident_bytes(&crowded);
    for (int i = 0; i < peers; i++) {
        dial(&crowded);
        if (i % 500 == 499)
            live_client(&crowded); /* served after them, so that they are not in the kernel's queue any more */
    }
    live_client(&crowded);
    double bytes = (resident_bytes(&crowded) - before) / peers;
    double with = cpu_microseconds(&crowded), without = cpu_microseconds(&empty);
    for (int i = 0; i < ROUNDS; i++) {
        live_client(&empty);
        live_client(&crowded);
    }
    with = (cpu_microseconds(&crowded) - with) / ROUNDS;
    without = (cpu_microseconds(&empty) - without) / ROUNDS;
    double cpu = cpu_microseconds(&crowded);
    sleep(1); /* in which nobody comes: this is what is measured */
    cpu = cpu_microseconds(&crowded) - cpu;
    printf("ratio=%.3f with=%.1fus without=%.1fus bytes=%.0f cpu=%.0fus\n", with / without, with, without, bytes, cpu);
    return 0;
}
