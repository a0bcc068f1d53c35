/* SPDX-License-Identifier: MIT
 *
 * peer.h: remembers, in the socket itself, who its client really is.
 *
 * The kernel keeps 32 private bytes for every TCP socket (TCP_FASTOPEN_KEY, tcp(7), Linux 5.3); on an accepted socket
 * they mean nothing to it. There the client's address lives and dies with the connection: it follows dup, fork, exec
 * and SCM_RIGHTS, and no table of ours can mix two connections up. Only peer.c knows this.
 *
 * Any thread, any signal handler; no state in the process. Both calls may change errno.
 */
#ifndef PPSHIM_PEER_H
#define PPSHIM_PEER_H

#include <ppshim/addr.h>
#include <stdbool.h>

/* Of a connection whose header was taken, or that is known to send none. */
struct pps_client {
    bool has_addr; /* false: the client is the real TCP peer (LOCAL, UNKNOWN, no header sent) */
    struct pps_addr addr;
    enum pps_addr_form form; /* how the server shall see it */
};

/* `peer` is the real TCP peer; recall compares it, so that a socket disconnected and connected elsewhere is not
   misnamed. false: the kernel refused. */
bool pps_peer_remember(int fd, const struct pps_addr *peer, const struct pps_client *client);

/* false: nothing is remembered: no header was ever taken from this socket. */
bool pps_peer_recall(int fd, const struct pps_addr *peer, struct pps_client *out);

/* Whether this connection's own socket keeps what is remembered, so that the next image finds it. Asks by writing
   nothing into it: only for a connection of which nothing is remembered. */
bool pps_peer_outlives_exec(int fd);

/* Recall, as far as it can be had of a connection that was reset and so has no peer any more. */
bool pps_peer_is_marked(int fd);

/* Whether this kernel keeps the bytes at all; asks a socket of its own. */
bool pps_peer_supported(void);

#endif
