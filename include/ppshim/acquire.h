/* SPDX-License-Identifier: MIT
 *
 * acquire.h: is there a connection to hand over right now?
 *
 * A wait that is about to tell the server "your listener is readable" settles first: connections are taken, parked
 * ones moved on, until one is ready or nothing is left. The one that is ready is held (held.h), at most one a
 * listener, until the server accepts it. A process that waits but has not itself called accept on the listener (a
 * master whose children accept) must take nothing: until then, and again after fork, the kernel's own readiness passes.
 *
 * Waits for nothing. Any thread and signal handler: who finds another inside passes on. With cancellation off. May
 * change errno.
 */
#ifndef PPSHIM_ACQUIRE_H
#define PPSHIM_ACQUIRE_H

#include <ppshim/admit.h>
#include <ppshim/listener.h>
#include <ppshim/signals.h>
#include <stdbool.h>

/* A connection fresh from the kernel, accepted with these accept4 flags: true when *conn is ready; else it was parked
   or closed. `forks` is pps_process_forks from before it was accepted: the child of a handler that interrupted us and
   forked leaves the connection to its parent. `signals`: of the wait that will go on if this comes to nothing, or NULL;
   they are blocked then. */
bool pps_settle_take_in(const struct pps_listener *l, int fd, const struct sockaddr *peer, socklen_t peer_len,
                        int flags, unsigned forks, struct pps_signals *signals, struct pps_conn *conn);

/* Closes the connection that has waited longest for its header, because descriptors ran out. false: none waits. */
bool pps_settle_make_room(void);

/* Closes whoever ran out of time at any listener: one that the server no longer waits for, as it closed it where nobody
   saw that, has peers too. Returns until when there is nothing to do of the kind (deadline.h). Costs one load while
   nobody is parked. */
uint64_t pps_settle_expire(void);

/* Whether accept would find something, or an error, now. A listener need not be non-blocking, and O_NONBLOCK is not
   ours to set. */
bool pps_settle_is_readable(int listener_fd);

/* Whether the server waits for this listener by means we see, so that an accept that finds nothing may say so. */
bool pps_settle_is_seen(const struct pps_listener *l);

enum pps_settled {
    PPS_SETTLED_NOTHING, /* accept would find nothing */
    PPS_SETTLED_READY,   /* one is held */
    PPS_SETTLED_ERROR,   /* accept would fail with an error the server must see (EMFILE) */
    PPS_SETTLED_MORE,    /* none found yet among many: look again soon */
    PPS_SETTLED_SIGNAL,  /* a signal came where the wait could have slept: it ends with EINTR */
    PPS_SETTLED_GONE,    /* the listener is closed, and was where nobody saw it: what the kernel says is of another */
    PPS_SETTLED_PASS,    /* not ours to settle: the kernel's readiness stands */
};
/* `readable`: the kernel just said that the listener is. `signals`: of the wait that asks, or NULL. Only with a
   blocking listener, and only when another process or thread takes the connection in the moment between the look and
   the call, does this sleep, as the server's own accept would have. */
enum pps_settled pps_settle(const struct pps_listener *l, int listener_fd, bool readable, struct pps_signals *signals);

#endif
