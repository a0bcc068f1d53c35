/* SPDX-License-Identifier: MIT
 *
 * admit.h: one connection's way from the kernel to the server: is its peer trusted, what does its header say, may that
 * be believed.
 *
 * Works on one connection of the caller's and nothing else: no wait, no lock, no allocation, no state. Any thread, any
 * signal handler, with cancellation off (recv is a cancellation point). May change errno.
 */
#ifndef PPSHIM_ADMIT_H
#define PPSHIM_ADMIT_H

#include <netinet/in.h>
#include <ppshim/addr.h>
#include <ppshim/client.h>
#include <ppshim/listener.h>
#include <ppshim/reason.h>
#include <ppshim/trust.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pps_conn {
    int fd;
    struct pps_listener listener; /* that accepted it */
    struct pps_addr peer;         /* the real TCP peer; of an AF_UNIX listener's connections this host */
    struct sockaddr_in6 peer_raw; /* the same as the kernel told it, scope id and all; or a sockaddr_in */
    socklen_t peer_raw_len;       /* larger than that: of an AF_UNIX peer that has a name of its own */
    enum pps_trust trust;
    uint32_t have, need;      /* bytes of the header seen so far; least number with which to look again */
    bool claims_client;       /* its header names the one in client.addr, believed or not: for the log */
    bool inherited;           /* the process was started for it and ends with it: for the log */
    struct pps_client client; /* after PPS_ADMIT_READY: the answer, if it has an address; an AF_UNIX peer never has */
};

enum pps_admission {
    PPS_ADMIT_READY, /* the header is gone, the client remembered: hand it to the server */
    PPS_ADMIT_WAIT,  /* look again when conn->need bytes are there */
    PPS_ADMIT_GONE,  /* *reason says why; the caller closes it with pps_admit_close. PPS_REASON_NONE: a bare probe */
};

/* How much of a header is looked at where the stack is all there is. Longer ones need a larger buffer: look answers
   WAIT with need beyond `size`. */
#define PPS_ADMIT_STACK 536

/* Fills *conn for a connection just accepted; GONE when an untrusted peer is to be closed, READY when its peer need not
   send a header, else what the first look answers. */
enum pps_admission pps_admit_begin(struct pps_conn *conn, const struct pps_listener *l, int fd,
                                   const struct sockaddr *peer, socklen_t peer_len, uint8_t *buf, size_t size,
                                   enum pps_reason *reason);

/* Peeks into `buf` (size bytes), judges, and consumes exactly the header when it is complete. */
enum pps_admission pps_admit_look(struct pps_conn *conn, uint8_t *buf, size_t size, enum pps_reason *reason);

/* The time for the header is over: what now? READY for a silent peer of PPSHIM_HEADER_OPTIONAL, else as look, with
   PPS_REASON_TIMEOUT in place of WAIT. */
enum pps_admission pps_admit_timeout(struct pps_conn *conn, uint8_t *buf, size_t size, enum pps_reason *reason);

/* Logs and ends a connection that is GONE: shutdown first, because a forked child may hold a copy of it. */
void pps_admit_close(struct pps_conn *conn, enum pps_reason reason);

#endif
