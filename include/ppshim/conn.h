/* SPDX-License-Identifier: MIT
 *
 * conn.h: one accepted connection on its way to the server, and where it was accepted.
 *
 * Plain values. Whoever has the struct has the descriptor, and hands over or closes it.
 */
#ifndef PPSHIM_CONN_H
#define PPSHIM_CONN_H

#include <netinet/in.h>
#include <ppshim/addr.h>
#include <ppshim/client.h>
#include <ppshim/trust.h>
#include <ppshim/unix_name.h>
#include <stdbool.h>
#include <stdint.h>

/* What a connection takes over from its listener. */
struct pps_origin {
    const struct pps_unix_name *unix_name; /* of an AF_UNIX listener, as its list has it; lives for ever. Else NULL */
    int lowat;                             /* SO_RCVLOWAT */
    uint16_t port;                         /* local, host byte order */
    bool inet6, v6only;
    bool inherited; /* from no listener of this process: it was started for the connection, and ends with it */
};

struct pps_conn {
    int fd;
    struct pps_origin origin;
    struct pps_addr peer;         /* the real TCP peer; of an AF_UNIX listener's connections this host */
    struct sockaddr_in6 peer_raw; /* the same as the kernel told it, scope id and all; or a sockaddr_in */
    socklen_t peer_raw_len;       /* larger than that: of an AF_UNIX peer that has a name of its own */
    uint64_t inode;               /* of an AF_UNIX socket: its peers look all alike */
    uint64_t arrived;             /* deadline.h; 0: its header was there at the first look */
    enum pps_trust trust;
    uint32_t have, need;          /* bytes of the header seen so far; least number with which to look again */
    bool claims_client;           /* its header names the one in client.addr, believed or not: for the log */
    struct pps_name_text refused; /* the name in its header by which lists of clients refused it: for the log */
    struct pps_client client; /* after PPS_ADMIT_READY: the answer, if it has an address; an AF_UNIX peer never has */
};

/* Whether conn->fd is that connection still: behind our back the number may have become somebody else's. Changes errno.
 */
bool pps_conn_is_still(const struct pps_conn *conn);

/* Of the socket behind `fd`; 0: it is none. */
uint64_t pps_conn_inode(int fd);

/* Makes it what accept4(2) with the flags `wanted` would have returned; it is what `before` made of it. */
void pps_conn_set_flags(const struct pps_conn *conn, int before, int wanted);

#endif
