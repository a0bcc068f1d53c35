/* SPDX-License-Identifier: MIT
 *
 * connections.c: see connections.h.
 */
#include "connections.h"
#include "../policy/text.h"
#include "proc.h"
#include "tool.h"
#include <errno.h>
#include <netinet/in.h>
#include <ppshim/sockopt.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#if __has_include(<linux/tcp.h>) /* glibc's tcp_info has no bytes; musl's has, where the kernel's headers may lack */
#include <linux/tcp.h>
#else
#include <netinet/tcp.h>
#endif

/* --- what a socket says --- */

static bool read_address(int fd, int (*call)(int, struct sockaddr *, socklen_t *), struct pps_addr *out)
{
    struct sockaddr_storage sa;
    socklen_t length = sizeof sa;
    return call(fd, (struct sockaddr *)&sa, &length) == 0 &&
           pps_addr_from_sockaddr(out, (struct sockaddr *)&sa, length);
}

/* A kernel that is older than this header fills in the front of it. */
static void read_counts(int fd, struct tool_connection *out)
{
    enum { CLOSE_WAIT = 8 };
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
        return;
    out->bytes_in = info.tcpi_bytes_received - (info.tcpi_state == CLOSE_WAIT); /* the kernel counts the peer's FIN */
    out->bytes_out = info.tcpi_bytes_acked;
    out->rtt_us = info.tcpi_rtt;
}

/* false: no connection of ours. */
static bool ask(int fd, struct tool_connection *out)
{
    if (!pps_sockopt_is_tcp(fd) || !read_address(fd, getpeername, &out->peer) ||
        pps_client_recall(fd, &out->peer, &out->client) != PPS_RECALLED || !read_address(fd, getsockname, &out->local))
        return false;
    out->cookie = pps_sockopt_cookie(fd);
    read_counts(fd, out);
    return true;
}

/* --- why it cannot be asked --- */

/* The user it runs as. */
static uid_t user_of(pid_t pid)
{
    uid_t users[4];
    return tool_proc_users(pid, users) ? users[1] : (uid_t)-1;
}

static bool yama_forbids(void)
{
    int scope = 0;
    FILE *file = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
    if (file && fscanf(file, "%d", &scope) != 1)
        scope = 0;
    if (file)
        fclose(file);
    return scope > 0;
}

static void explain_copy(pid_t pid, const char *name, char out[512])
{
    uid_t user = user_of(pid);
    const struct passwd *pw = getpwuid(user);
    const char *why_none = tool_proc_why_no_copies();
    if (why_none)
        snprintf(out, 512, "%s", why_none);
    else if (geteuid() == 0)
        snprintf(out, 512, "process %d (%s) cannot be asked: CAP_SYS_PTRACE is missing", (int)pid, name);
    else if (user != geteuid())
        snprintf(out, 512, "process %d (%s) cannot be asked: it is %s's: try as root, or as that user", (int)pid, name,
                 pw ? pw->pw_name : "another user");
    else if (yama_forbids())
        snprintf(out, 512,
                 "process %d (%s) cannot be asked: kernel.yama.ptrace_scope lets only root (CAP_SYS_PTRACE) do that",
                 (int)pid, name);
    else
        snprintf(out, 512,
                 "process %d (%s) cannot be asked: it was root when it started, and the kernel lets only root "
                 "(CAP_SYS_PTRACE) look at such a one",
                 (int)pid, name);
}

/* Once, for the first; how many there are is said with it. */
struct blocked {
    size_t count;
    pid_t first;
    int error;
};

static void note_blocked(struct blocked *b, pid_t pid, int error)
{
    if (b->count++ == 0) {
        b->first = pid;
        b->error = error;
    }
}

static void explain(const struct blocked *b, char out[512])
{
    char name[16], why[400];
    *out = 0;
    if (!b->count)
        return;
    tool_proc_name(b->first, name);
    errno = b->error;
    explain_copy(b->first, name, out);
    snprintf(why, sizeof why, "%.399s", out);
    if (b->count > 1)
        snprintf(out, 512, "%s (and %zu more)", why, b->count - 1);
}

/* --- all of them --- */

static int by_inode(const void *a, const void *b)
{
    const struct tool_connection *one = a, *other = b;
    if (one->inode != other->inode)
        return one->inode < other->inode ? -1 : 1;
    return one->pid < other->pid ? -1 : one->pid > other->pid;
}

static int by_age(const void *a, const void *b)
{
    const struct tool_connection *one = a, *other = b;
    if (one->client.since != other->client.since)
        return one->client.since < other->client.since ? -1 : 1;
    return one->cookie < other->cookie ? -1 : one->cookie > other->cookie;
}

static void add(struct tool_connections *out, const struct tool_connection *c)
{
    out->list = tool_grow(out->list, out->count, sizeof *c);
    out->list[out->count++] = *c;
}

static void ask_process(const struct tool_process *p, struct tool_connections *out, struct blocked *blocked)
{
    struct tool_connection c;
    int pidfd = p->held_count ? tool_proc_open_pidfd(p->pid) : -1, error = 0;
    if (!p->seen)
        note_blocked(blocked, p->pid, EPERM);
    if (p->held_count && pidfd < 0 && errno != ESRCH)
        error = errno;
    for (size_t i = 0; pidfd >= 0 && i < p->held_count; i++) {
        int fd = tool_proc_get_fd(pidfd, p->held[i].fd);
        if (fd < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS))
            error = errno;
        if (fd < 0)
            continue;
        c = (struct tool_connection){.inode = p->held[i].inode, .pid = p->pid, .holders = 1};
        if (ask(fd, &c))
            add(out, &c);
        close(fd);
    }
    if (error)
        note_blocked(blocked, p->pid, error);
    if (pidfd >= 0)
        close(pidfd);
}

/* A server's child that was forked to serve it has it as well as its parent, until one of them closes it; so has what
   the server starts by another name, and that is none of our concern. */
static bool serves_rather(const struct tool_processes *processes, const struct tool_connection *c,
                          const struct tool_connection *than)
{
    const struct tool_process *p = tool_process_find(processes, c->pid);
    if (strcmp(c->program, than->program) != 0)
        return false;
    for (size_t hops = 0; p && hops < processes->count; hops++) {
        p = tool_process_find(processes, p->parent);
        if (p && p->pid == than->pid)
            return true;
    }
    return false;
}

/* Each socket once. */
static void merge(const struct tool_processes *processes, struct tool_connections *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++) {
        struct tool_connection *one = &c->list[i], *last = kept ? &c->list[kept - 1] : NULL;
        if (!last || last->inode != one->inode) {
            c->list[kept++] = *one;
            continue;
        }
        size_t holders = last->holders + (last->pid != one->pid);
        if (serves_rather(processes, one, last))
            *last = *one;
        last->holders = holders;
    }
    c->count = kept;
}

void tool_connections_read(const struct tool_processes *processes, bool all, struct tool_connections *out)
{
    struct blocked blocked = {0};
    *out = (struct tool_connections){0};
    for (size_t i = 0; i < processes->count; i++)
        if (all || processes->list[i].belongs)
            ask_process(&processes->list[i], out, &blocked);
    for (size_t i = 0; i < out->count; i++)
        tool_proc_name(out->list[i].pid, out->list[i].program);
    if (out->count) {
        qsort(out->list, out->count, sizeof *out->list, by_inode);
        merge(processes, out);
        qsort(out->list, out->count, sizeof *out->list, by_age);
    }
    explain(&blocked, out->blocked);
}

void tool_connections_free(struct tool_connections *c)
{
    free(c->list);
    *c = (struct tool_connections){0};
}

const struct pps_addr *tool_connection_from(const struct tool_connection *c)
{
    return c->client.has_addr ? &c->client.addr : &c->peer;
}

bool tool_connection_shut(const struct tool_processes *processes, const struct tool_connection *c)
{
    const struct tool_process *p = tool_process_find(processes, c->pid);
    int number = p ? tool_process_fd(p, c->inode) : -1, fd = number < 0 ? -1 : tool_proc_copy_fd(c->pid, number);
    bool same = fd >= 0 && pps_sockopt_cookie(fd) == c->cookie;
    bool done = same && shutdown(fd, SHUT_RDWR) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return done;
}

/* --- what the verbs share --- */

bool tool_clients_read(const char *list, struct pps_cidr_set *out, char error[512])
{
    struct pps_cidr_builder builder = PPS_CIDR_BUILDER_INIT;
    struct pps_text rest = pps_text_of(list), word;
    bool any = false;
    for (; pps_text_next(&rest, &word); any = true)
        if (!pps_cidr_add(&builder, word.at, word.length, error, 512)) {
            pps_cidr_abandon(&builder);
            return false;
        }
    if (!any)
        return snprintf(error, 512, "no address in it: write one like 203.0.113.7, or 203.0.113.0/24"), false;
    return pps_cidr_finish(&builder, out, error, 512);
}

void tool_connections_keep(struct tool_connections *c, const struct pps_cidr_set *clients)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++)
        if (pps_cidr_has(clients, tool_connection_from(&c->list[i])))
            c->list[kept++] = c->list[i];
    c->count = kept;
}

int tool_connections_of(const char *verb, const char *pid_or_unit, struct tool_processes *processes,
                        struct tool_connections *out)
{
    char error[512];
    pid_t main_pid;
    if (!pid_or_unit)
        tool_processes_read(processes);
    else if (!tool_processes_of(pid_or_unit, processes, &main_pid, error))
        return tool_fail(TOOL_NO, verb, "%s", error);
    tool_connections_read(processes, !pid_or_unit, out);
    return TOOL_OK;
}
