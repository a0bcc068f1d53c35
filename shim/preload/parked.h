/* SPDX-License-Identifier: MIT
 *
 * parked.h: the pending connections (pending.h) of each governed listener, out of the server's way.
 *
 * They sit at the top of the descriptor range. Their epoll, the listener's private epoll, stands in the server's epolls
 * beside the listener (interest.h). It is made at the first park, or when a wait must notice what another thread parks.
 *
 * Every call takes the lock, but for those that say otherwise, waits for nothing and may change errno. The child of a
 * fork owns no parked connection.
 */
#ifndef PPSHIM_PARKED_H
#define PPSHIM_PARKED_H

#include "listener.h"
#include <ppshim/conn.h>
#include <ppshim/pending.h>
#include <stdbool.h>
#include <stdint.h>

struct pps_parked {
    struct pps_pending pending;
    int door; /* plus one; 0: none: an epoll that holds the private one and the listener */
};

/* How many wait for this listener. No lock: one load. */
unsigned pps_parked_count(const struct pps_listener *l);

/* Takes the connection over; accepted with these accept4 flags. false: no room, or the listener is closed; the caller
   still has it. */
bool pps_parked_put(const struct pps_listener *l, struct pps_conn *conn, int flags);

/* Moves on until one leaves. READY: *conn is the caller's, at the lowest free number, as accept4(flags) would have
   returned it. GONE: the caller's to close with *reason. Else NOTHING. */
enum pps_pending_event pps_parked_next(const struct pps_listener *l, int flags, struct pps_conn *conn,
                                       enum pps_reason *reason);

/* At PPSHIM_MAX_PENDING. */
bool pps_parked_is_full(void);
/* Takes out the one of all listeners that has waited longest, to make room; the caller closes it. */
bool pps_parked_evict(struct pps_conn *conn);

/* Now and then, while connections are parked: makes a new private epoll if the server has closed it behind our back. */
void pps_parked_check(const struct pps_listener *l);
/* The private epoll, for a wait that must notice what another thread parks. */
void pps_parked_prepare(const struct pps_listener *l);

/* For a blocking accept that processes share: what to sleep on, an epoll whose events have these data; -1: there is
   none. The listener stands in it exclusively: the kernel wakes one of the processes for one connection. */
enum pps_door_data { PPS_DOOR_PARKED, PPS_DOOR_LISTENER };
int pps_parked_door(const struct pps_listener *l, int listener_fd);

/* When one of any listener has been left alone beyond its time, for nobody waits for that listener any more
   (deadline.h). No lock: one load. */
uint64_t pps_parked_due(void);
/* Then: takes the next such one out; the caller closes it, its time is over. */
bool pps_parked_expire(struct pps_conn *conn);

/* The listener is closed: takes the next one out, which the caller closes; at last the epoll goes, and false. While a
   leader sleeps on the epoll it is woken instead, and does this again when it has left. */
bool pps_parked_abandon(const struct pps_listener *l, struct pps_conn *conn);
/* Whether there is anything left of a closed one. The lock is held. */
bool pps_parked_is_in_use(const struct pps_listener *l);

/* `fd` is PPS_FD_OURS, and the server is about to close it. The lock is held. */
void pps_parked_closing(int fd);

/* process.h's after_fork. */
void pps_parked_after_fork(bool at_once);

#endif
