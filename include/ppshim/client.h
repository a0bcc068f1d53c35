/* SPDX-License-Identifier: MIT
 *
 * client.h: remembers who the client of a connection really is.
 *
 * Where the kernel lends the socket itself 32 private bytes (TCP_FASTOPEN_KEY, tcp(7), Linux 5.3; on an accepted socket
 * they mean nothing to it) the client's address lives and dies there with the connection: it follows dup, fork, exec
 * and SCM_RIGHTS, and no table of ours can mix two connections up. Where it does not (older kernels, gVisor, MPTCP), a
 * table of this process keeps it, for as long as the process has the socket open: that follows dup and fork, not exec,
 * nor the way to another process. Nobody outside this module knows which of the two was used.
 *
 * Any thread, any signal handler; the child of a fork goes on with what its parent remembered. May change errno.
 */
#ifndef PPSHIM_CLIENT_H
#define PPSHIM_CLIENT_H

#include <ppshim/addr.h>
#include <stdbool.h>
#include <stdint.h>

/* Of a connection whose header was taken, or that is known to send none. */
struct pps_client {
    uint32_t since; /* when it was told apart: a second of CLOCK_REALTIME */
    bool has_addr;  /* false: the client is the real TCP peer (LOCAL, UNKNOWN, no header sent) */
    struct pps_addr addr;
    bool v6only; /* its socket takes no IPv4 peers: an IPv4 client is told as a sockaddr_in all the same */
    /* What the client connected to; only with has_addr, and where getsockname shall tell it. It need not outlive exec:
       false then. */
    bool has_local;
    struct pps_addr local;
};

/* `peer` is the real TCP peer; recall compares it, so that a socket disconnected and connected elsewhere is not
   misnamed. false: the kernel refused, and no memory is left for a table. */
bool pps_client_remember(int fd, const struct pps_addr *peer, const struct pps_client *client);

/* NOTHING: no header was ever taken from this socket. FAILED: it would not tell, and there may be a client. */
enum pps_recalled { PPS_RECALLED_NOTHING, PPS_RECALLED, PPS_RECALL_FAILED };
enum pps_recalled pps_client_recall(int fd, const struct pps_addr *peer, struct pps_client *out);

/* Whether this connection's own socket keeps what is remembered, so that the next image finds it. Asks by writing
   nothing into it: only for a connection of which nothing is remembered. */
bool pps_client_outlives_exec(int fd);

/* Recall, as far as it can be had of a connection that was reset and so has no peer any more. */
bool pps_client_is_marked(int fd);

/* Where this kernel lets TCP connections be remembered, for the `active` line: "socket" or "table"; asks a socket of
   its own. */
const char *pps_client_store(void);

/* Where else clients are remembered, by whoever has room: `peer_sum` is a checksum of the real peer; recalling with
   another one finds nothing. */
struct pps_client_store {
    bool (*remember)(int fd, uint32_t peer_sum, const struct pps_client *client);
    bool (*recall)(int fd, uint32_t peer_sum, struct pps_client *out);
};
/* Once, before anything is remembered. Without it what does not fit into its socket cannot be remembered. */
void pps_client_fall_back_on(const struct pps_client_store *store);

/* For tests: "table" leaves the kernel's bytes alone, as if there were none. NULL and anything else means nothing. */
void pps_client_test_store(const char *store);

#endif
