/* SPDX-License-Identifier: MIT
 *
 * connections.h: the open connections whose header the library took, with their clients: each socket is asked itself,
 * through a copy of the descriptor of a process that holds it (pidfd_getfd(2), Linux 5.6), which is closed at once.
 *
 * The processes are not stopped and notice nothing. It needs what ptrace(2) calls PTRACE_MODE_ATTACH_REALCREDS:
 * CAP_SYS_PTRACE, or to be the processes' user. Clients that the kernel does not keep in the socket (client.h) cannot
 * be seen from outside. One thread; malloc freely.
 */
#ifndef PPSHIM_CONNECTIONS_H
#define PPSHIM_CONNECTIONS_H

#include "processes.h"
#include <ppshim/cidr.h>
#include <ppshim/client.h>
#include <stdint.h>

struct tool_connection {
    unsigned long inode;
    uint64_t cookie; /* SO_COOKIE */
    struct pps_client client;
    struct pps_addr peer, local;  /* of the socket itself */
    uint64_t bytes_in, bytes_out; /* the header's among those that came in; out: what was acknowledged */
    uint32_t rtt_us;
    pid_t pid; /* who serves it: of a parent and its like-named child the child */
    char program[16];
    size_t holders; /* processes that have it open */
};

struct tool_connections {
    struct tool_connection *list; /* by their age, the oldest first; each socket once */
    size_t count;
    char blocked[512]; /* not all could be asked: why, on one line; else "" */
};

/* Those of the marked processes; with `all` of every process. Then tool_connections_free. */
void tool_connections_read(const struct tool_processes *processes, bool all, struct tool_connections *out);
void tool_connections_free(struct tool_connections *c);

/* Who it is for: its client, or its peer where the header named none. */
const struct pps_addr *tool_connection_from(const struct tool_connection *c);

/* A list of clients as an operator writes it. false: `error` is one line. Then pps_cidr_free. */
bool tool_clients_read(const char *list, struct pps_cidr_set *out, char error[512]);

/* Leaves those of these clients. */
void tool_connections_keep(struct tool_connections *c, const struct pps_cidr_set *clients);

/* Ends the connection both ways, whoever holds it (shutdown(2)). false: it is gone by itself, or errno says why. */
bool tool_connection_shut(const struct tool_processes *processes, const struct tool_connection *c);

/* The connections of the processes of "811", "mariadb.service"; NULL: of all there are. Returns an exit status, told on
   stderr if it is not TOOL_OK; then nothing is to be freed. */
int tool_connections_of(const char *verb, const char *pid_or_unit, struct tool_processes *processes,
                        struct tool_connections *out);

#endif
