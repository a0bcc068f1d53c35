/* SPDX-License-Identifier: MIT
 *
 * lock.h: the one lock over what the shim remembers about listeners, epolls and parked connections.
 *
 * Taken off the fast path only: a listener is met or forgotten, a connection is parked, a parked one moves on. While it
 * is held all signals are blocked and cancellation is off, so that a handler never finds its own thread inside and
 * nothing leaks; and no call is made that waits. It does not nest. The child of a fork gets it anew; a vfork child must
 * not touch what it protects (process.h).
 */
#ifndef PPSHIM_LOCK_H
#define PPSHIM_LOCK_H

#include <ppshim/quiet.h>

struct pps_lock {
    struct pps_quiet quiet;
};

void pps_lock_enter(struct pps_lock *lock);
void pps_lock_leave(const struct pps_lock *lock);
void pps_lock_after_fork(void);

#endif
