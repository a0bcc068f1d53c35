/* SPDX-License-Identifier: MIT
 *
 * probe.h: the rooms of `ppshim check --probe`: one connection and what becomes of it, where it comes from, what is
 * probed over TCP and over Unix sockets. One thread, in the network of the server; malloc freely.
 */
#ifndef PPSHIM_PROBE_H
#define PPSHIM_PROBE_H

#include "check_report.h"
#include "processes.h"
#include <ppshim/client.h>
#include <ppshim/config.h>

struct tool_target {
    struct tool_report *r;
    const struct tool_processes *all; /* marked: those that listen */
    pid_t pid;                        /* one that has the listener, or takes its connections: of its network */
    struct pps_config *config;        /* in force; static, for trust.h keeps it */
    struct pps_addr listener;         /* as it can be connected to */
};

enum tool_fate { TOOL_FATE_TAKEN, TOOL_FATE_PASSED, TOOL_FATE_CLOSED, TOOL_FATE_ANSWERED, TOOL_FATE_UNSEEN };

struct tool_outcome {
    enum tool_fate fate;
    unsigned ms;              /* until then */
    struct pps_client client; /* with TAKEN */
    pid_t holder;             /* with TAKEN and PASSED */
};

#define TOOL_PROBE_PATIENCE_MS 5000 /* for a server to accept what is there */

struct tool_connection {
    int fd;
    struct pps_addr own;
    int copy; /* of the server's end, or -1: keeps what is remembered in that, should the server close it */
};

/* --- one connection: probe_connection.c --- */

/* false: errno. `from` may be NULL: from wherever. */
bool tool_probe_connect(struct tool_connection *c, const struct pps_addr *from, const struct pps_addr *to);
/* Watches for `wanted`, at most so long; what it was last seen as otherwise. */
void tool_probe_watch(const struct tool_target *t, struct tool_connection *c, enum tool_fate wanted, unsigned most_ms,
                      struct tool_outcome *o);
/* Whoever has it open and is_it(pid, with), waited for; 0: nobody. */
pid_t tool_probe_holder(const struct tool_target *t, const struct tool_connection *c,
                        bool (*is_it)(pid_t pid, void *with), void *with);
void tool_probe_end(struct tool_connection *c);

/* What a connection's own end hears, without taking it: UNSEEN: nothing yet. */
enum tool_fate tool_probe_listen(int fd);
unsigned tool_probe_ms_since(const struct timespec *start);
void tool_probe_pause(void);

/* --- where from, and for whom: probe_source.c --- */

bool tool_probe_is_ours(const struct pps_addr *a);
/* One of this host's that is in the lists, or in none: of its interfaces, else of 127.0.0.0/24. */
bool tool_probe_source(const struct tool_target *t, bool trusted, struct pps_addr *out);
/* Of the blocks for documentation (RFC 5737) one that the client lists let in; false: there is none. */
bool tool_probe_client(struct pps_addr *out);
#define TOOL_PROBE_NO_CLIENT "no address for documentation is let in by PPSHIM_CLIENT_ALLOW: nothing was sent"

/* --- what is said of it: probe.c --- */

__attribute__((format(printf, 3, 4))) void tool_probe_tell(const struct tool_target *t, bool right, const char *format,
                                                           ...);
/* The header that names this client, in a version that the server takes: its length. */
size_t tool_probe_header(const struct tool_target *t, const struct pps_addr *client, const struct pps_addr *to,
                         uint8_t *out, size_t size);

/* --- probe_unix.c --- */

/* Two connections to a Unix listener, "/run/x" or "@x", which no address can tell from others. */
void tool_probe_unix(const struct tool_target *t, const char *name);

#endif
