/* SPDX-License-Identifier: MIT
 *
 * probe.c: `ppshim check --probe`: real connections to a server that runs, and what became of them (check.h). Nothing
 * is sent but a header; the connections are closed.
 */
#include "probe.h"
#include "check.h"
#include "check_holders.h"
#include "endpoint.h"
#include "image.h"
#include "proc.h"
#include "tool.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ppshim/header.h>
#include <ppshim/trust.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the three --- */

static const char *host_of(const struct pps_addr *a, char text[PPS_ADDR_TEXT])
{
    return inet_ntop(pps_addr_is_v4(a) ? AF_INET : AF_INET6, pps_addr_is_v4(a) ? a->ip + 12 : a->ip, text,
                     PPS_ADDR_TEXT);
}

/* The library may have noted of it that it has no header. */
static bool is_as_it_came(const struct tool_outcome *o)
{
    return o->fate == TOOL_FATE_PASSED || (o->fate == TOOL_FATE_TAKEN && !o->client.has_addr);
}

static const char *fate_text(const struct tool_outcome *o, char text[160])
{
    static const char *const words[] = {
        [TOOL_FATE_TAKEN] = "its header was taken",
        [TOOL_FATE_PASSED] = "the server has it as it came",
        [TOOL_FATE_CLOSED] = "it was closed",
        [TOOL_FATE_ANSWERED] = "the server answered it",
        [TOOL_FATE_UNSEEN] = "no process has accepted it",
    };
    enum tool_fate fate = is_as_it_came(o) ? TOOL_FATE_PASSED : o->fate;
    snprintf(text, 160, "%s, %u ms after it was made", words[fate], o->ms);
    return text;
}

void tool_probe_tell(const struct tool_target *t, bool right, const char *format, ...)
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

static bool connect_from(const struct tool_target *t, const struct pps_addr *from, struct tool_connection *c)
{
    char host[PPS_ADDR_TEXT], listener[PPS_ADDR_TEXT];
    bool good = tool_probe_connect(c, from, &t->listener);
    if (!good)
        tool_probe_tell(t, false, "from %s no connection to %s can be made: %s", host_of(from, host),
                        pps_addr_text(&t->listener, listener), strerror(errno));
    return good;
}

size_t tool_probe_header(const struct tool_target *t, const struct pps_addr *client, const struct pps_addr *to,
                         uint8_t *out, size_t size)
{
    struct pps_builder b;
    const struct pps_addr *dst = pps_addr_is_v4(to) ? to : client;
    if (!t->config->version_accepted[2])
        return pps_header_build_v1(out, size, client, dst);
    pps_build_v2_begin(&b, out, size, false, client, dst);
    return pps_build_v2_end(&b, false);
}

static void probe_header(const struct tool_target *t, const struct pps_addr *from)
{
    char host[PPS_ADDR_TEXT], client_text[PPS_ADDR_TEXT], what[160];
    uint8_t bytes[128];
    struct pps_addr client;
    struct tool_connection c;
    struct tool_outcome o = {.fate = TOOL_FATE_UNSEEN};
    if (!tool_probe_client(&client)) {
        tool_judge(t->r, TOOL_VERDICT_UNSURE, TOOL_PROBE_NO_CLIENT);
        return;
    }
    if (!connect_from(t, from, &c))
        return;
    /* Whoever accepts it holds it before its header comes, unless TCP_DEFER_ACCEPT keeps it from them. */
    if (!t->config->defer_accept)
        tool_probe_watch(t, &c, TOOL_FATE_PASSED, t->config->timeout_ms / 2, &o);
    size_t length = tool_probe_header(t, &client, &t->listener, bytes, sizeof bytes);
    if (send(c.fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
        length = 0;
    tool_probe_watch(t, &c, TOOL_FATE_TAKEN, TOOL_PROBE_PATIENCE_MS + t->config->timeout_ms, &o);
    bool right = length && o.fate == TOOL_FATE_TAKEN && o.client.has_addr &&
                 memcmp(o.client.addr.ip, client.ip, sizeof client.ip) == 0 && o.client.addr.port == client.port;
    pps_addr_text(&client, client_text);
    if (right)
        tool_probe_tell(t, true, "from %s a header that names %s: process %d has it as %s", host_of(from, host),
                        client_text, (int)o.holder, client_text);
    else
        tool_probe_tell(t, false, "from %s a header that names %s: %s", host_of(from, host), client_text,
                        fate_text(&o, what));
    tool_probe_end(&c);
}

static void probe_silence(const struct tool_target *t, const struct pps_addr *from)
{
    char host[PPS_ADDR_TEXT], what[160];
    struct tool_connection c;
    struct tool_outcome o = {.fate = TOOL_FATE_UNSEEN};
    bool optional = pps_trust_of(from) == PPS_OPTIONAL;
    if (!connect_from(t, from, &c))
        return;
    tool_probe_watch(t, &c, optional ? TOOL_FATE_TAKEN : TOOL_FATE_CLOSED,
                     TOOL_PROBE_PATIENCE_MS + t->config->timeout_ms, &o);
    bool right = optional ? o.fate == TOOL_FATE_TAKEN && !o.client.has_addr : o.fate == TOOL_FATE_CLOSED;
    tool_probe_tell(t, right, "from %s, which %s send a header, none: %s", host_of(from, host),
                    optional ? "may" : "must", fate_text(&o, what));
    tool_probe_end(&c);
}

static void probe_stranger(const struct tool_target *t)
{
    char host[PPS_ADDR_TEXT], what[160];
    struct pps_addr from;
    struct tool_connection c;
    struct tool_outcome o = {.fate = TOOL_FATE_UNSEEN};
    bool reject = t->config->reject_untrusted;
    if (!tool_probe_source(t, false, &from)) {
        tool_note(t->r, "probe", "every address of this host is in the lists: none was tried that is in no list");
        return;
    }
    if (!connect_from(t, &from, &c))
        return;
    tool_probe_watch(t, &c, reject ? TOOL_FATE_CLOSED : TOOL_FATE_PASSED, TOOL_PROBE_PATIENCE_MS, &o);
    bool right = reject ? o.fate == TOOL_FATE_CLOSED : is_as_it_came(&o) || o.fate == TOOL_FATE_ANSWERED;
    tool_probe_tell(t, right, "from %s, which is in no list: %s", host_of(&from, host), fate_text(&o, what));
    tool_probe_end(&c);
}

static void probe_tcp(const struct tool_target *t)
{
    struct pps_addr from;
    char host[PPS_ADDR_TEXT], text[PPS_ADDR_TEXT];
    tool_note(t->r, "listener", "%s", pps_addr_text(&t->listener, text));
    if (tool_probe_source(t, true, &from)) {
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

/* --- the settings in force --- */

static bool read_settings(pid_t pid, void *config)
{
    struct tool_image image;
    bool found = tool_image_read(&image, pid) && tool_image_config(&image, config) && ((struct pps_config *)config)->on;
    tool_image_free(&image);
    return found;
}

/* Of those that listen, or, where none of these has the library, of whoever is started for a connection. */
static bool find_settings(struct tool_target *t, const struct pps_addr *address)
{
    struct tool_connection scout;
    for (size_t i = 0; i < t->all->count; i++)
        if (t->all->list[i].belongs && read_settings(t->all->list[i].pid, t->config))
            return true;
    if (!address || !tool_probe_connect(&scout, NULL, address))
        return false;
    t->listener = *address;
    pid_t served = tool_probe_holder(t, &scout, read_settings, t->config);
    tool_probe_end(&scout);
    return served > 0;
}

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

static bool begin(struct tool_target *t, const struct pps_addr *address)
{
    char error[PPS_ERROR_TEXT];
    if (!find_settings(t, address))
        tool_judge(t->r, TOOL_VERDICT_NO, "no process of it has the library on%s",
                   geteuid() == 0 ? ": check it without --probe" : ", or shows it: try as root");
    else if (!pps_trust_load(t->config, error))
        tool_judge(t->r, TOOL_VERDICT_CONFIG, "%s", error);
    else if (!enter_network(t->pid))
        tool_judge(t->r, TOOL_VERDICT_NO, "its network cannot be entered: try as root");
    else
        return true;
    return false;
}

/* --- what is probed --- */

static const struct pps_addr any4 = {.ip = {[10] = 0xff, [11] = 0xff}}, any6 = {0};

static bool is_at(const struct tool_socket *s, const struct pps_addr *ip)
{
    return !*s->unix_name && memcmp(s->local.ip, ip->ip, sizeof ip->ip) == 0;
}

/* Where a listener on any address can be reached. One on [::] takes IPv4 as well, unless it is told not to or another
   listener has that. */
static struct pps_addr reachable(const struct tool_sockets *sockets, const struct tool_socket *listener)
{
    static const uint8_t loopback4[] = {127, 0, 0, 1}, loopback6[16] = {[15] = 1};
    struct pps_addr to4 = pps_addr_v4(loopback4, listener->local.port);
    bool other = false;
    if (!is_at(listener, &any4) && !is_at(listener, &any6))
        return listener->local;
    for (size_t i = 0; is_at(listener, &any6) && i < sockets->count; i++) {
        const struct tool_socket *s = &sockets->list[i];
        other |= s->listens && s->local.port == to4.port && (is_at(s, &any4) || is_at(s, &to4));
    }
    struct tool_connection c;
    if (is_at(listener, &any6) && (other || !tool_probe_connect(&c, NULL, &to4)))
        return pps_addr_v6(loopback6, to4.port);
    if (is_at(listener, &any6))
        tool_probe_end(&c);
    return to4;
}

/* All that they listen to. */
static void probe_processes(struct tool_target *t)
{
    struct tool_sockets sockets;
    unsigned count = 0;
    if (!begin(t, NULL))
        return;
    tool_sockets_read(t->pid, &sockets);
    for (size_t i = 0; i < sockets.count; i++) {
        const struct tool_socket *s = &sockets.list[i];
        if (!s->listens || !tool_socket_is_governed(t->config, s) || !tool_socket_is_held(t->all, s))
            continue;
        count++;
        if (*s->unix_name) {
            tool_probe_unix(t, s->unix_name);
        } else {
            t->listener = reachable(&sockets, s);
            probe_tcp(t);
        }
    }
    tool_sockets_free(&sockets);
    if (!count)
        tool_judge(t->r, TOOL_VERDICT_NO, "it listens on nothing that is governed");
}

/* What a peer of that address comes to. */
static void probe_address(struct tool_target *t, const struct pps_addr *address)
{
    if (!begin(t, address))
        return;
    t->listener = *address;
    if (pps_config_governs(t->config, address->port))
        probe_tcp(t);
    else
        tool_judge(t->r, TOOL_VERDICT_NO, "port %u is not in PPSHIM_PORTS", address->port);
}

/* A process that has the listener and did not get it from its parent; the service manager if nobody else has it; 0:
   nobody. */
static pid_t first_holder(const struct tool_processes *all, unsigned long inode)
{
    bool manager = false;
    for (size_t i = 0; i < all->count; i++) {
        const struct tool_process *p = &all->list[i], *parent = tool_process_find(all, p->parent);
        if (tool_process_fd(p, inode) < 0)
            continue;
        manager |= p->pid == 1;
        if (p->pid != 1 && (!parent || parent->pid == 1 || tool_process_fd(parent, inode) < 0))
            return p->pid;
    }
    return manager;
}

/* Who listens there, on this host. What the service manager listens to is not marked: all are below it. */
static bool mark_listener(struct tool_target *t, struct tool_processes *all, const struct pps_addr *a)
{
    struct tool_sockets sockets;
    tool_processes_read(all);
    tool_sockets_read(getpid(), &sockets);
    for (size_t i = 0; i < sockets.count && tool_probe_is_ours(a); i++) {
        const struct tool_socket *s = &sockets.list[i];
        bool there = s->listens && !*s->unix_name && s->local.port == a->port &&
                     (is_at(s, a) || is_at(s, &any6) || (is_at(s, &any4) && pps_addr_is_v4(a)));
        pid_t holder = there ? first_holder(all, s->inode) : 0;
        if (holder > 1)
            tool_processes_mark(all, holder);
        if (holder > 0 && t->pid <= 1)
            t->pid = holder;
    }
    tool_sockets_free(&sockets);
    return t->pid > 0;
}

bool tool_check_probe(struct tool_report *r, const char *what, char error[512])
{
    static struct pps_config config;
    struct tool_processes all = {0};
    struct tool_target t = {.r = r, .all = &all, .config = &config};
    struct pps_addr address;
    bool is_address = strchr(what, ':') && tool_endpoint_read(what, 0, &address) && address.port;
    if (!is_address && !tool_processes_of(what, &all, &t.pid, error)) {
        if (strchr(what, ':') || tool_endpoint_read(what, 0, &address))
            snprintf(error, 512, "%.300s: no such service runs here; HOST:PORT is an address, like 127.0.0.1:5432",
                     what);
        return false;
    }
    const char *why_none = tool_proc_why_no_copies();
    if (why_none)
        tool_judge(r, TOOL_VERDICT_UNSURE, "the server cannot be asked what became of a connection: %s", why_none);
    else if (!is_address)
        probe_processes(&t);
    else if (mark_listener(&t, &all, &address))
        probe_address(&t, &address);
    else
        tool_judge(r, TOOL_VERDICT_UNSURE,
                   "no process of this host listens there: run this on the host itself, for the server must be asked");
    tool_processes_free(&all);
    tool_judge_ok(r, "all connections became what they should");
    return true;
}
