/* SPDX-License-Identifier: MIT
 *
 * probe.c: `ppshim check --probe`: real connections to a server that runs, and what became of them (check.h).
 *
 * The server is asked by its own socket: a copy of it is taken from the process (pidfd_getfd) before the header is
 * sent, and the client that is then remembered in it recalled as the library itself would. Nothing is sent but a
 * header; the connections are closed.
 */
#include "check.h"
#include "endpoint.h"
#include "image.h"
#include "proc.h"
#include "tool.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <poll.h>
#include <ppshim/client.h>
#include <ppshim/header.h>
#include <ppshim/trust.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

#define PAUSE_MS 2
#define PATIENCE_MS 5000 /* for a server to accept what is there */

static struct pps_config config; /* of the server; trust.h keeps it */

struct target {
    struct tool_report *r;
    const struct tool_processes *all;
    pid_t pid;                /* a process that has the library on, in whose network it is */
    struct pps_addr listener; /* as it can be connected to */
};

/* --- one connection --- */

enum fate { FATE_TAKEN, FATE_PASSED, FATE_CLOSED, FATE_ANSWERED, FATE_UNSEEN };

struct outcome {
    enum fate fate;
    unsigned ms;              /* until then */
    struct pps_client client; /* with FATE_TAKEN */
    pid_t holder;
};

static unsigned ms_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned)((now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000);
}

static int dial(const struct pps_addr *from, const struct pps_addr *to, struct pps_addr *own)
{
    struct sockaddr_storage source, target;
    sa_family_t family = pps_addr_is_v4(to) ? AF_INET : AF_INET6;
    socklen_t source_length = pps_addr_to_sockaddr(from, family, &source),
              length = pps_addr_to_sockaddr(to, family, &target);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&source, source_length) != 0 ||
                    connect(fd, (struct sockaddr *)&target, length) != 0)) {
        close(fd);
        return -1;
    }
    socklen_t own_length = sizeof source;
    if (fd >= 0 && getsockname(fd, (struct sockaddr *)&source, &own_length) == 0)
        pps_addr_from_sockaddr(own, (struct sockaddr *)&source, own_length);
    return fd;
}

/* The other end of our connection, as the server's side has it in its table. */
static unsigned long inode_of(const struct target *t, const struct pps_addr *own)
{
    struct tool_sockets sockets;
    unsigned long inode = 0;
    tool_sockets_read(t->pid, &sockets);
    for (size_t i = 0; i < sockets.count; i++) {
        const struct tool_socket *s = &sockets.list[i];
        if (!s->listens && s->local.port == t->listener.port && s->peer.port == own->port &&
            memcmp(s->peer.ip, own->ip, sizeof own->ip) == 0)
            inode = s->inode;
    }
    tool_sockets_free(&sockets);
    return inode;
}

/* A copy of a descriptor of another process; -1. */
static int copy_of(pid_t pid, int there)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int fd = pidfd >= 0 ? (int)syscall(SYS_pidfd_getfd, pidfd, there, 0) : -1;
    if (pidfd >= 0)
        close(pidfd);
    return fd;
}

/* Numbers move, and are used anew. */
static bool is_from(int fd, const struct pps_addr *own)
{
    struct sockaddr_storage ss;
    struct pps_addr peer;
    socklen_t length = sizeof ss;
    return getpeername(fd, (struct sockaddr *)&ss, &length) == 0 &&
           pps_addr_from_sockaddr(&peer, (struct sockaddr *)&ss, length) && peer.port == own->port &&
           memcmp(peer.ip, own->ip, sizeof own->ip) == 0;
}

static int copy_from(const struct tool_process *p, unsigned long inode, const struct pps_addr *own)
{
    int there = tool_process_fd(p, inode), fd = there >= 0 ? copy_of(p->pid, there) : -1;
    if (fd < 0 || is_from(fd, own))
        return fd;
    close(fd);
    return -1;
}

/* The server's end of our connection, copied from whichever process has accepted it; -1: none has. Those that listen
   are asked first: a look at all takes its time. */
static int take_copy(const struct target *t, const struct pps_addr *own, pid_t *holder)
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

/* What our end hears, without taking it: FATE_UNSEEN: nothing yet. */
static enum fate listen_to(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n > 0 ? FATE_ANSWERED : n == 0 || errno != EAGAIN ? FATE_CLOSED : FATE_UNSEEN;
}

/* Of the server's end, if somebody has it. */
static enum fate ask_copy(int copy, const struct pps_addr *own, struct outcome *o)
{
    if (copy < 0)
        return FATE_UNSEEN;
    return pps_client_recall(copy, own, &o->client) ? FATE_TAKEN : FATE_PASSED;
}

/* Watches for `wanted`, at most so long; what it was last seen as otherwise. *copy: of the server's end, or -1, then it
   is looked for. The copy keeps the socket, and what is remembered in it, if the server should close it at once. */
static void watch(const struct target *t, int fd, int *copy, const struct pps_addr *own, enum fate wanted,
                  unsigned most_ms, struct outcome *o)
{
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        if (*copy < 0)
            *copy = take_copy(t, own, &o->holder);
        enum fate seen = ask_copy(*copy, own, o), heard = listen_to(fd);
        o->fate = seen == FATE_TAKEN ? seen : heard != FATE_UNSEEN ? heard : seen;
        o->ms = ms_since(&start);
        if (o->fate == wanted || o->fate == FATE_CLOSED || o->fate == FATE_TAKEN)
            return;
        poll(NULL, 0, PAUSE_MS);
    } while (o->ms < most_ms);
}

static void end(int fd, int copy)
{
    if (copy >= 0)
        close(copy);
    close(fd);
}

/* --- addresses --- */

static bool is_of_this_host(const struct pps_addr *a)
{
    struct sockaddr_storage ss;
    sa_family_t family = pps_addr_is_v4(a) ? AF_INET : AF_INET6;
    struct pps_addr any_port = *a;
    any_port.port = 0;
    socklen_t length = pps_addr_to_sockaddr(&any_port, family, &ss);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && bind(fd, (struct sockaddr *)&ss, length) == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

static bool fits(const struct target *t, const struct pps_addr *a, bool trusted)
{
    enum pps_trust trust = pps_trust_of(a);
    return pps_addr_is_v4(a) == pps_addr_is_v4(&t->listener) && (trust != PPS_UNTRUSTED) == trusted &&
           is_of_this_host(a);
}

static bool fits_interface(const struct target *t, bool trusted, struct pps_addr *out)
{
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) != 0)
        return false;
    for (struct ifaddrs *one = all; one && !found; one = one->ifa_next) {
        socklen_t length = !one->ifa_addr                         ? 0
                           : one->ifa_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                  : sizeof(struct sockaddr_in);
        found = length && pps_addr_from_sockaddr(out, one->ifa_addr, length) && (out->port = 0, fits(t, out, trusted));
    }
    freeifaddrs(all);
    return found;
}

/* One of this host's that is in the lists, or in none: of its interfaces, else of 127.0.0.0/24, which is all its own.
 */
static bool choose_source(const struct target *t, bool trusted, struct pps_addr *out)
{
    if (fits_interface(t, trusted, out))
        return true;
    for (unsigned i = 1; i < 255; i++) {
        *out = pps_addr_v4((const uint8_t[]){127, 0, 0, (uint8_t)i}, 0);
        if (fits(t, out, trusted))
            return true;
    }
    return false;
}

/* Of the blocks for documentation (RFC 5737) one that the client lists let in. */
static bool choose_client(struct pps_addr *out)
{
    static const uint8_t blocks[][4] = {{192, 0, 2, 1}, {198, 51, 100, 1}, {203, 0, 113, 1}};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        struct pps_header h = {.version = 2, .has_client = true, .src = pps_addr_v4(blocks[i], 4711)};
        struct pps_name_text refused;
        *out = h.src;
        if (pps_client_allowed(&h, &refused))
            return true;
    }
    return false;
}

/* --- the three --- */

static const char *host_of(const struct pps_addr *a, char text[PPS_ADDR_TEXT])
{
    return inet_ntop(pps_addr_is_v4(a) ? AF_INET : AF_INET6, pps_addr_is_v4(a) ? a->ip + 12 : a->ip, text,
                     PPS_ADDR_TEXT);
}

static const char *fate_text(const struct outcome *o, char text[160])
{
    static const char *const words[] = {
        [FATE_TAKEN] = "its header was taken",
        [FATE_PASSED] = "the server has it as it came",
        [FATE_CLOSED] = "it was closed",
        [FATE_ANSWERED] = "the server answered it",
        [FATE_UNSEEN] = "no process has accepted it",
    };
    snprintf(text, 160, "%s, %u ms after it was made", words[o->fate], o->ms);
    return text;
}

__attribute__((format(printf, 3, 4))) static void tell(const struct target *t, bool right, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = tool_text_of(format, args);
    va_end(args);
    tool_note(t->r, "probe", "%s: %s", right ? "right" : "wrong", text);
    if (!right)
        tool_judge(t->r, TOOL_VERDICT_NO, "%s", text);
    free(text);
}

static bool connect_from(const struct target *t, const struct pps_addr *from, int *fd, struct pps_addr *own)
{
    char host[PPS_ADDR_TEXT], listener[PPS_ADDR_TEXT];
    *fd = dial(from, &t->listener, own);
    if (*fd < 0)
        tell(t, false, "from %s no connection to %s can be made: %s", host_of(from, host),
             pps_addr_text(&t->listener, listener), strerror(errno));
    return *fd >= 0;
}

static size_t header_of(const struct target *t, const struct pps_addr *client, uint8_t *out, size_t size)
{
    const struct pps_addr *to = pps_addr_is_v4(&t->listener) ? &t->listener : client;
    struct pps_builder b;
    if (!config.version_accepted[2])
        return pps_header_build_v1(out, size, client, to);
    pps_build_v2_begin(&b, out, size, false, client, to);
    return pps_build_v2_end(&b, false);
}

static void probe_header(const struct target *t, const struct pps_addr *from)
{
    char host[PPS_ADDR_TEXT], client_text[PPS_ADDR_TEXT], what[160];
    uint8_t bytes[128];
    struct pps_addr client, own;
    struct outcome o = {.fate = FATE_UNSEEN};
    int fd, copy = -1;
    if (!choose_client(&client)) {
        tool_judge(t->r, TOOL_VERDICT_UNSURE,
                   "no address for documentation is let in by PPSHIM_CLIENT_ALLOW: nothing was "
                   "sent");
        return;
    }
    if (!connect_from(t, from, &fd, &own))
        return;
    /* Whoever accepts it holds it before its header comes, unless TCP_DEFER_ACCEPT keeps it from them. */
    if (!config.defer_accept)
        watch(t, fd, &copy, &own, FATE_PASSED, config.timeout_ms / 2, &o);
    size_t length = header_of(t, &client, bytes, sizeof bytes);
    if (send(fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
        length = 0;
    watch(t, fd, &copy, &own, FATE_TAKEN, PATIENCE_MS + config.timeout_ms, &o);
    bool right = length && o.fate == FATE_TAKEN && o.client.has_addr &&
                 memcmp(o.client.addr.ip, client.ip, sizeof client.ip) == 0 && o.client.addr.port == client.port;
    pps_addr_text(&client, client_text);
    if (right)
        tell(t, true, "from %s a header that names %s: process %d has it as %s", host_of(from, host), client_text,
             (int)o.holder, client_text);
    else
        tell(t, false, "from %s a header that names %s: %s", host_of(from, host), client_text, fate_text(&o, what));
    end(fd, copy);
}

static void probe_silence(const struct target *t, const struct pps_addr *from)
{
    char host[PPS_ADDR_TEXT], what[160];
    struct pps_addr own;
    struct outcome o = {.fate = FATE_UNSEEN};
    bool optional = pps_trust_of(from) == PPS_OPTIONAL;
    int fd, copy = -1;
    if (!connect_from(t, from, &fd, &own))
        return;
    watch(t, fd, &copy, &own, optional ? FATE_TAKEN : FATE_CLOSED, PATIENCE_MS + config.timeout_ms, &o);
    bool right = optional ? o.fate == FATE_TAKEN && !o.client.has_addr : o.fate == FATE_CLOSED;
    tell(t, right, "from %s, which %s send a header, none: %s", host_of(from, host), optional ? "may" : "must",
         right && optional ? "the server has it as it came" : fate_text(&o, what));
    end(fd, copy);
}

static void probe_stranger(const struct target *t)
{
    char host[PPS_ADDR_TEXT], what[160];
    struct pps_addr from, own;
    struct outcome o = {.fate = FATE_UNSEEN};
    int fd, copy = -1;
    if (!choose_source(t, false, &from)) {
        tool_note(t->r, "probe", "every address of this host is in the lists: none was tried that is in no list");
        return;
    }
    if (!connect_from(t, &from, &fd, &own))
        return;
    watch(t, fd, &copy, &own, config.reject_untrusted ? FATE_CLOSED : FATE_PASSED, PATIENCE_MS, &o);
    bool right = config.reject_untrusted ? o.fate == FATE_CLOSED : o.fate == FATE_PASSED || o.fate == FATE_ANSWERED;
    tell(t, right, "from %s, which is in no list: %s", host_of(&from, host), fate_text(&o, what));
    end(fd, copy);
}

static void probe_listener(struct target *t)
{
    struct pps_addr from;
    char host[PPS_ADDR_TEXT], text[PPS_ADDR_TEXT];
    tool_note(t->r, "listener", "%s", pps_addr_text(&t->listener, text));
    if (choose_source(t, true, &from)) {
        probe_header(t, &from);
        probe_silence(t, &from);
    } else {
        tool_judge(t->r, TOOL_VERDICT_UNSURE, "no address of this host is in the lists");
        tool_note(
            t->r, "do",
            "on a host that is in the lists, with an address of this one for %s: { ppshim header --from 192.0.2.1; "
            "sleep 1; } | nc %s %u; then look for an accept line (PPSHIM_LOG=auto:info)",
            host_of(&t->listener, host), host, t->listener.port);
    }
    probe_stranger(t);
}

/* --- what is probed --- */

/* The server's network, where it is another one than ours. */
static bool enter_network(pid_t pid)
{
    char path[PATH_MAX];
    bool ours;
    if (!tool_proc_network(pid, &ours) || !tool_proc_path(path, pid, "ns/net"))
        return false;
    if (ours)
        return true;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

/* Where a listener on any address can be reached. */
static struct pps_addr reachable(const struct pps_addr *listener)
{
    static const struct pps_addr any4 = {.ip = {[10] = 0xff, [11] = 0xff}}, any6 = {0};
    struct pps_addr to = *listener;
    if (memcmp(to.ip, any4.ip, sizeof to.ip) == 0 || memcmp(to.ip, any6.ip, sizeof to.ip) == 0)
        to = pps_addr_v4((const uint8_t[]){127, 0, 0, 1}, listener->port); /* of [::] too, unless it is IPv6 only */
    return to;
}

/* The settings in force, and the process that has them, of those that belong. */
static bool read_settings(struct tool_report *r, const struct tool_processes *all, struct target *t)
{
    char error[PPS_ERROR_TEXT];
    bool found = false;
    for (size_t i = 0; i < all->count && !found; i++) {
        struct tool_image image;
        if (!all->list[i].belongs)
            continue;
        found = tool_image_read(&image, all->list[i].pid) && image.on && tool_image_config(&image, &config);
        t->pid = all->list[i].pid;
        tool_image_free(&image);
    }
    if (!found)
        tool_judge(r, TOOL_VERDICT_NO, "no process of it has the library on%s",
                   geteuid() == 0 ? ": check it without --probe" : ", or shows it: try as root");
    else if (!pps_trust_load(&config, error))
        tool_judge(r, TOOL_VERDICT_CONFIG, "%s", error);
    else if (!enter_network(t->pid))
        tool_judge(r, TOOL_VERDICT_NO, "its network cannot be entered: try as root");
    else
        return true;
    return false;
}

static void probe_all(struct tool_report *r, const struct tool_processes *all, const struct pps_addr *only)
{
    struct target t = {.r = r, .all = all};
    struct tool_sockets sockets;
    unsigned count = 0;
    if (!read_settings(r, all, &t))
        return;
    tool_sockets_read(t.pid, &sockets);
    for (size_t i = 0; i < sockets.count; i++) {
        const struct tool_socket *s = &sockets.list[i];
        if (!s->listens || *s->unix_name || !pps_config_governs(&config, s->local.port) ||
            !tool_socket_is_held(all, s) || (only && only->port != s->local.port))
            continue;
        t.listener = reachable(&s->local);
        probe_listener(&t);
        count++;
    }
    tool_sockets_free(&sockets);
    if (!count)
        tool_judge(r, TOOL_VERDICT_NO, "it listens on no TCP port that is governed");
}

/* Who listens there, on this host. */
static bool mark_listener(struct tool_processes *all, const struct pps_addr *a)
{
    struct tool_sockets sockets;
    bool found = false;
    tool_processes_read(all);
    tool_sockets_read(getpid(), &sockets);
    for (size_t i = 0; i < sockets.count && !found; i++) {
        const struct tool_socket *s = &sockets.list[i];
        bool there = s->listens && !*s->unix_name && s->local.port == a->port && is_of_this_host(a);
        for (size_t k = 0; there && k < all->count && !found; k++)
            if (all->list[k].pid != 1 && tool_process_fd(&all->list[k], s->inode) >= 0)
                found = tool_processes_mark(all, all->list[k].pid);
    }
    tool_sockets_free(&sockets);
    return found;
}

void tool_check_probe(struct tool_report *r, const char *what)
{
    struct tool_processes all = {0};
    struct pps_addr address;
    pid_t pid;
    char error[512];
    bool is_address = strchr(what, ':') && tool_endpoint_read(what, 0, &address) && address.port;
    if (is_address && !mark_listener(&all, &address))
        tool_judge(r, TOOL_VERDICT_UNSURE,
                   "no process of this host listens there: run this on the host itself, for the server must be asked");
    else if (!is_address && !tool_processes_of(what, &all, &pid, error))
        tool_judge(r, TOOL_VERDICT_NO, "%s", error);
    else
        probe_all(r, &all, is_address ? &address : NULL);
    tool_processes_free(&all);
    tool_judge_ok(r, "all connections became what they should");
}
