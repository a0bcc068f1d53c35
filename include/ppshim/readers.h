/* SPDX-License-Identifier: MIT
 *
 * readers.h: who may still be looking at something that was replaced.
 *
 * A reader counts itself in before it loads the pointer and out when it is done; whoever replaced what the pointer led
 * to may free it once it has seen nobody inside after the swap: a reader that look missed sees what is new (all
 * seq_cst). Nobody waits. A handler that interrupts a reader counts as one more. `mine` is a _Thread_local of the
 * caller, this thread's share: all that is left of the count in a forked child.
 */
#ifndef PPSHIM_READERS_H
#define PPSHIM_READERS_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef volatile sig_atomic_t pps_readers_mine;

static inline void pps_readers_enter(atomic_uint *readers, pps_readers_mine *mine)
{
    ++*mine;
    atomic_fetch_add(readers, 1);
}

static inline void pps_readers_leave(atomic_uint *readers, pps_readers_mine *mine)
{
    atomic_fetch_sub(readers, 1);
    --*mine;
}

static inline bool pps_readers_inside(atomic_uint *readers)
{
    return atomic_load(readers) != 0;
}

/* In the child: other threads' reads are gone, a read of this thread's that a handler interrupted still counts. If that
   was just between the two counts it counts once too often, and the child never frees what it replaces. */
static inline void pps_readers_after_fork(atomic_uint *readers, const pps_readers_mine *mine)
{
    atomic_store(readers, (unsigned)*mine);
}

#endif
