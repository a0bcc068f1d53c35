/* SPDX-License-Identifier: MIT
 *
 * parked.h: connections that wait for the rest of their header.
 *
 * Each governed listener that has any owns one private epoll: it becomes readable when a parked header can be complete,
 * its peer left, or the oldest ran out of time. Parked sockets sit at the top of the descriptor range, so that the
 * numbers the server sees stay low, and wait with SO_RCVLOWAT for the bytes they lack; where it does nothing (AF_UNIX)
 * they are looked at whenever a byte arrives.
 *
 * Every call here takes the guard (but for those that say otherwise), waits for nothing and may change errno. The child
 * of a fork owns no parked connection; slots are valid at every instant, so that it can close its copies whatever the
 * parent was doing.
 */
#ifndef PPSHIM_PARKED_H
#define PPSHIM_PARKED_H

#include <ppshim/admit.h>
#include <ppshim/listener.h>
#include <stdbool.h>
#include <stdint.h>

/* How many wait for this listener: one load. */
unsigned pps_park_waiting(const struct pps_listener *l);

/* Takes the connection over; accepted with these accept4 flags. false: the caller still has it, to close with *why. */
bool pps_park_put(struct pps_conn *conn, int flags, enum pps_reason *why);

enum pps_park_event {
    PPS_PARK_NOTHING, /* nobody can move on: wait */
    PPS_PARK_READY,   /* *conn is complete and the caller's, at the lowest free number, with the accept4 flags asked for
                       */
    PPS_PARK_GONE,    /* *conn is the caller's to close with *reason */
};

/* Moves parked connections on until one leaves. */
enum pps_park_event pps_park_next(const struct pps_listener *l, int flags, struct pps_conn *conn,
                                  enum pps_reason *reason);

/* At PPSHIM_MAX_PENDING. */
bool pps_park_full(void);
/* Takes out the one of all listeners that has waited longest, to make room; the caller closes it. */
bool pps_park_evict(struct pps_conn *conn);

/* When the next one of all listeners runs out of time, deadline.h; takes no guard. */
uint64_t pps_park_soonest(void);
/* Takes one out that ran out of time, whatever its listener, for the caller to close with *reason. false: there is
   none; those that may be handed over as they are stay until their listener is waited for. */
bool pps_park_expire(struct pps_conn *conn, enum pps_reason *reason);

/* Data of the door's events. */
enum { PPS_DOOR_PARKED, PPS_DOOR_BATON, PPS_DOOR_LISTENER };

/* What the threads that share a blocking accept sleep on (accept.c). */
struct pps_park_stand {
    int door;  /* an epoll: readable when somebody can move on or a baton is passed; the leader adds the listener. -1:
                  nothing is parked */
    int bench; /* an epoll: readable when a baton is passed. As the door, for a thread asleep in one does not mind what
                  becomes of numbers */
};

/* The caller counts as asleep until it calls get_up, and what it sleeps on stays open until then, even when the
   listener is closed: closed under a sleeper, an epoll forgets what it was to wake it for. false: no descriptors left.
 */
bool pps_park_lie_down(const struct pps_listener *l, struct pps_park_stand *stand);
void pps_park_get_up(const struct pps_listener *l);

/* Both find nothing when the listener is gone. */
void pps_park_pass_baton(const struct pps_listener *l);
void pps_park_take_baton(const struct pps_listener *l);

/* Makes the private epoll now, for a wait that must notice what another thread parks. */
void pps_park_prepare(const struct pps_listener *l);
/* Lets the private epoll go if its time is over and nothing is parked: for a process that waits but never accepts. */
void pps_park_idle(const struct pps_listener *l);

/* --- with the guard held --- */

/* `fd` is PPS_FD_OURS, and the server is about to close it. `alone`: other numbers stay, so that what threads sleep on
   can be had under one of them. */
void pps_park_closing(int fd, bool alone);
/* The listener is being closed: so are its parked connections. */
void pps_park_abandon(const struct pps_listener *l);

/* lock.h's after_fork. */
void pps_park_after_fork(bool at_once);

#endif
