/* SPDX-License-Identifier: MIT
 *
 * acquire.h: is there a connection to hand over right now?
 *
 *     kernel --accept4--> ready ----------------------------> held, or the caller's
 *                           ^  header there                      ^
 *                           |                                    |
 *                         late --20 ms, or a part--> parked -----+
 *
 * A wait that is about to tell the server "your listener is readable" acquires first: connections are taken, late and
 * parked ones moved on, until one is ready or nothing is left. The one that is ready is held, at most one a listener,
 * until the server accepts it. A process that waits but has not itself called accept on the listener must take nothing:
 * until then, and again after fork, the kernel's own readiness passes (usage.h).
 *
 * Waits for nothing. Any thread and signal handler: who finds another inside passes on. With cancellation off. May
 * change errno.
 */
#ifndef PPSHIM_ACQUIRE_H
#define PPSHIM_ACQUIRE_H

#include "late.h"
#include "listener.h"
#include "signals.h"
#include <ppshim/conn.h>
#include <stdbool.h>

enum pps_acquired {
    PPS_ACQUIRED_NOTHING, /* accept would find nothing */
    PPS_ACQUIRED_USELESS, /* one came to nothing: ask the kernel again, the time of the wait over or not */
    PPS_ACQUIRED_READY,   /* one is held */
    PPS_ACQUIRED_ERROR,   /* accept would fail with an error the server must see (EMFILE) */
    PPS_ACQUIRED_MORE,    /* none found yet among many: look again soon */
    PPS_ACQUIRED_SIGNAL,  /* a signal came where the wait could have slept: it ends with EINTR */
    PPS_ACQUIRED_PASS,    /* not ours to take: the kernel's readiness stands */
};

/* Who is readable, as the kernel told just now; 0: it is not known. */
enum { PPS_SAID_LISTENER = 1, PPS_SAID_PARKED = 2 };

/* For a wait. `edge`: what is left in the kernel would not be told again. `signals`: of the wait that asks, or NULL.
   Only with a blocking listener, and only when another process or thread takes the connection in the moment between the
   look and the call, does this sleep, as the server's own accept would have. */
enum pps_acquired pps_acquire(const struct pps_listener *l, int listener_fd, unsigned said, bool edge,
                              struct pps_signals *signals);

/* Moves on the late ones that fired, and parks those whose patience is over. true: one is held now, which it is only if
   `may_hold`; *of is its listener. */
bool pps_acquire_late(struct pps_late *late, bool may_hold, struct pps_listener *of);

/* The wait that watched these is left: they are parked if another thread may wait for them, else left to the next wait.
 */
void pps_acquire_leave_late(struct pps_late *late);

/* Parks all of the late ones that no wait can watch. */
void pps_acquire_park_ambiguous(void);

/* Closes those of any listener that were left alone beyond their time, when there are such (parked.h). */
void pps_acquire_expire(void);

bool pps_acquire_is_held(const struct pps_listener *l);

/* --- for accept: the connection is the caller's when the answer is true --- */

/* The held one, as accept4(flags) would have returned it. */
bool pps_acquire_held(const struct pps_listener *l, int flags, struct pps_conn *conn);
/* Fresh from the kernel, accepted with these flags. false: it waits for its header now, or was closed. `epoch` is
   pps_process_epoch from before it was accepted: the child of a handler that interrupted us and forked leaves it to its
   parent. `watched`: somebody watches late ones. */
bool pps_acquire_fresh(const struct pps_listener *l, int fd, const struct sockaddr *peer, socklen_t peer_len, int flags,
                       bool watched, unsigned epoch, struct pps_signals *signals, struct pps_conn *conn);
/* The first of the late ones that fired and is ready; the rest as above. */
bool pps_acquire_from_late(struct pps_late *late, int flags, struct pps_conn *conn);
/* The next parked one that is ready. */
bool pps_acquire_from_parked(const struct pps_listener *l, int flags, struct pps_conn *conn);

/* Closes the connection that has waited longest for its header, because descriptors ran out. false: none waits. */
bool pps_acquire_make_room(void);

/* Whether accept would find something, or an error, now. A listener need not be non-blocking, and O_NONBLOCK is not
   ours to set. */
bool pps_acquire_is_readable(int listener_fd);

/* Whether the server waits for this listener by means we see, so that an accept that finds nothing may say so. */
bool pps_acquire_is_seen(const struct pps_listener *l);

/* The listener has lost its last number: what waits for it ends, and who sleeps in accept looks again. Without the
   lock. */
void pps_acquire_end(const struct pps_listener *l);
/* The server is about to close this number, of PPS_FD_OURS: what is held or late under it goes. */
void pps_acquire_closing(int fd);
/* Whether anybody is still at work with a listener. The lock is held. */
bool pps_acquire_is_in_use(const struct pps_listener *l);

/* process.h's after_fork. */
void pps_acquire_after_fork(bool at_once);

#endif
