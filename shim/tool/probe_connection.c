/* SPDX-License-Identifier: MIT
 *
 * probe_connection.c: see probe.h.
 *
 * The server is asked by its own socket: a copy of it is taken from the process (pidfd_getfd), if it can be before the
 * header is sent, and the client that is then remembered in it recalled as the library itself would.
 */
#include "../conn/limit_ask.h"
#include "probe.h"
#include "proc.h"
#include "tool.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MS 2

unsigned tool_probe_ms_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned)((now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000);
}

void tool_probe_pause(void)
{
    poll(NULL, 0, PAUSE_MS);
}

/* --- our end --- */

static bool connect_from(int fd, sa_family_t family, const struct pps_addr *from, const struct pps_addr *to)
{
    struct sockaddr_storage ss;
    if (from) {
        socklen_t length = pps_addr_to_sockaddr(from, family, &ss);
        if (bind(fd, (struct sockaddr *)&ss, length) != 0)
            return false;
    }
    socklen_t length = pps_addr_to_sockaddr(to, family, &ss);
    return connect(fd, (struct sockaddr *)&ss, length) == 0;
}

bool tool_probe_connect(struct tool_connection *c, const struct pps_addr *from, const struct pps_addr *to)
{
    struct sockaddr_storage ss;
    socklen_t length = sizeof ss;
    sa_family_t family = pps_addr_is_v4(to) ? AF_INET : AF_INET6;
    *c = (struct tool_connection){.fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), .copy = -1};
    if (c->fd >= 0 && connect_from(c->fd, family, from, to) &&
        getsockname(c->fd, (struct sockaddr *)&ss, &length) == 0 &&
        pps_addr_from_sockaddr(&c->own, (struct sockaddr *)&ss, length))
        return true;
    int why = errno;
    tool_probe_end(c);
    errno = why;
    return false;
}

void tool_probe_end(struct tool_connection *c)
{
    if (c->copy >= 0)
        close(c->copy);
    if (c->fd >= 0)
        close(c->fd);
    c->copy = c->fd = -1;
}

enum tool_fate tool_probe_listen(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n > 0 ? TOOL_FATE_ANSWERED : n == 0 || errno != EAGAIN ? TOOL_FATE_CLOSED : TOOL_FATE_UNSEEN;
}

/* --- the server's end --- */

static bool is_same(const struct pps_addr *a, const struct pps_addr *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

/* Of the server's end; 0: nobody has accepted it, or it is closed. One exact question: a busy host's table of
   connections takes long to read. */
static unsigned long inode_of(const struct tool_target *t, const struct pps_addr *own)
{
    const struct pps_asked end = {.cookie = PPS_ASK_ANY_COOKIE, .peer = *own, .local = t->listener};
    struct pps_asker asker;
    pps_ask_begin(&asker);
    unsigned long inode = pps_ask_inode(&asker, &end);
    pps_ask_end(&asker);
    return inode;
}

/* Numbers move, and are used anew. */
static bool is_from(int fd, const struct pps_addr *own)
{
    struct sockaddr_storage ss;
    struct pps_addr peer;
    socklen_t length = sizeof ss;
    return getpeername(fd, (struct sockaddr *)&ss, &length) == 0 &&
           pps_addr_from_sockaddr(&peer, (struct sockaddr *)&ss, length) && is_same(&peer, own);
}

static int copy_from(const struct tool_process *p, unsigned long inode, const struct pps_addr *own)
{
    int there = tool_process_fd(p, inode), fd = there >= 0 ? tool_proc_copy_fd(p->pid, there) : -1;
    if (fd < 0 || is_from(fd, own))
        return fd;
    close(fd);
    return -1;
}

/* From whichever process has accepted it; -1: none has. Those that listen are asked first: a look at all takes its
   time. */
static int take_copy(const struct tool_target *t, const struct pps_addr *own, pid_t *holder)
{
    unsigned long inode = inode_of(t, own);
    int fd = -1;
    for (size_t i = 0; inode && i < t->all->count && fd < 0; i++) {
        struct tool_process now;
        *holder = t->all->list[i].pid;
        if (!t->all->list[i].belongs || !tool_process_read(*holder, &now))
            continue;
        fd = copy_from(&now, inode, own);
        free(now.held);
    }
    struct tool_processes all = {0};
    if (inode && fd < 0)
        tool_processes_read(&all);
    for (size_t i = 0; i < all.count && fd < 0; i++) {
        *holder = all.list[i].pid;
        fd = copy_from(&all.list[i], inode, own);
    }
    tool_processes_free(&all);
    return fd;
}

/* Of the server's end, if somebody has it. */
static enum tool_fate ask_copy(const struct tool_connection *c, struct tool_outcome *o)
{
    if (c->copy < 0)
        return TOOL_FATE_UNSEEN;
    return pps_client_recall(c->copy, &c->own, &o->client) == PPS_RECALLED ? TOOL_FATE_TAKEN : TOOL_FATE_PASSED;
}

void tool_probe_watch(const struct tool_target *t, struct tool_connection *c, enum tool_fate wanted, unsigned most_ms,
                      struct tool_outcome *o)
{
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        if (c->copy < 0)
            c->copy = take_copy(t, &c->own, &o->holder);
        enum tool_fate seen = ask_copy(c, o), heard = tool_probe_listen(c->fd);
        o->fate = seen == TOOL_FATE_TAKEN ? seen : heard != TOOL_FATE_UNSEEN ? heard : seen;
        o->ms = tool_probe_ms_since(&start);
        if (o->fate == wanted || o->fate == TOOL_FATE_CLOSED || o->fate == TOOL_FATE_TAKEN)
            return;
        tool_probe_pause();
    } while (o->ms < most_ms);
}

pid_t tool_probe_holder(const struct tool_target *t, const struct tool_connection *c,
                        bool (*is_it)(pid_t pid, void *with), void *with)
{
    struct timespec start;
    pid_t found = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        struct tool_processes all;
        unsigned long inode = inode_of(t, &c->own);
        tool_processes_read(&all);
        for (size_t i = 0; inode && i < all.count && !found; i++)
            if (tool_process_fd(&all.list[i], inode) >= 0 && is_it(all.list[i].pid, with))
                found = all.list[i].pid;
        tool_processes_free(&all);
        tool_probe_pause();
    } while (!found && tool_probe_listen(c->fd) != TOOL_FATE_CLOSED &&
             tool_probe_ms_since(&start) < TOOL_PROBE_PATIENCE_MS);
    return found;
}
