/* SPDX-License-Identifier: MIT
 *
 * pending.h: connections that stay silent, or sent a part of their header, of one listener or another.
 *
 *            put                        its bytes are there, its peer left, its time is over
 *     -------------> pending -----------------------------------> READY, or GONE with a reason
 *
 * Those of one listener are watched by one epoll, which becomes readable when one of them can move on; a timer in it
 * stands for the oldest's deadline. Who uses this opens both descriptors and closes them. A connection waits there,
 * edge-triggered, with SO_RCVLOWAT for the bytes it lacks; where that does nothing (AF_UNIX) it is looked at whenever a
 * byte arrives.
 *
 * Every call wants the caller's lock, waits for nothing and may change errno; no call logs or closes a connection. The
 * slots are valid at every instant, so that the child of a fork can close its copies whatever the parent was doing.
 */
#ifndef PPSHIM_PENDING_H
#define PPSHIM_PENDING_H

#include <ppshim/config.h>
#include <ppshim/conn.h>
#include <ppshim/reason.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pps_pending {         /* the pending ones of one listener */
    int epoll, timer;        /* plus one; 0: none. Either both or neither */
    uint32_t oldest, newest; /* slots, plus one */
    uint64_t armed;          /* when the timer fires, at the latest; 0: it is not set */
    uint64_t empty_since;    /* of the epoll without a connection */
    _Atomic unsigned count;
};

/* How many there may be: PPSHIM_MAX_PENDING, or its default as RLIMIT_NOFILE is at the first call. 0: no memory. */
unsigned pps_pending_limit(const struct pps_config *config);
/* As many as that are pending. */
bool pps_pending_is_full(void);

/* p->epoll and p->timer were just opened: watches all there are. false: it cannot be. */
bool pps_pending_begin(struct pps_pending *p, const struct pps_config *config);
/* p->timer alone was. */
bool pps_pending_watch_timer(struct pps_pending *p, const struct pps_config *config);
/* Whether p->epoll is that epoll still: servers close numbers they do not know, and may have reused them. */
bool pps_pending_is_intact(const struct pps_pending *p);

/* Makes the epoll readable: who sleeps on it shall look. */
void pps_pending_wake(struct pps_pending *p);

/* Takes the connection over; accepted with these accept4 flags. false: no room, the caller still has it. */
bool pps_pending_put(struct pps_pending *p, const struct pps_config *config, const struct pps_conn *conn, int flags);

enum pps_pending_event {
    PPS_PENDING_NOTHING, /* nobody can move on */
    PPS_PENDING_READY,   /* *conn is complete, with the accept4 flags of before in *flags, and the caller's */
    PPS_PENDING_GONE,    /* *conn is the caller's to close with *reason */
    PPS_PENDING_IDLE,    /* nothing was pending for ten times PPSHIM_TIMEOUT: the epoll may go */
    PPS_PENDING_LOST,    /* the epoll is not ours any more */
};
/* Moves on until one leaves. */
enum pps_pending_event pps_pending_next(struct pps_pending *p, const struct pps_config *config, struct pps_conn *conn,
                                        int *flags, enum pps_reason *reason);
/* The oldest, if its time is over: GONE, READY or NOTHING. */
enum pps_pending_event pps_pending_overdue(struct pps_pending *p, const struct pps_config *config,
                                           struct pps_conn *conn, int *flags, enum pps_reason *reason);
/* When the oldest's time is over (deadline.h); PPS_NEVER: none is pending. */
uint64_t pps_pending_deadline(const struct pps_pending *p, const struct pps_config *config);
/* The first of their deadlines after this time. */
uint64_t pps_pending_deadline_after(const struct pps_pending *p, const struct pps_config *config, uint64_t after);
/* Takes out one whose time was over by `now` and that has not sent what it should. false: there is none. */
bool pps_pending_take_hopeless(struct pps_pending *p, const struct pps_config *config, uint64_t now,
                               struct pps_conn *conn);

/* Takes the oldest out. false: none is pending. */
bool pps_pending_take_oldest(struct pps_pending *p, struct pps_conn *conn);
/* Takes the one with this number out, of whichever listener. */
bool pps_pending_take(int fd, struct pps_conn *conn);

/* In the child of a fork: closes its copies; `each` hears of every number. The epolls are forgotten by who has them. */
void pps_pending_after_fork(bool at_once, void (*each)(int fd));

#endif
