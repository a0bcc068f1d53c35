/* SPDX-License-Identifier: MIT
 *
 * record.h: all that the shim knows of one listener, in one place.
 *
 * listener.c makes a record new, whole and under the lock, when it gives it to a listener. Each part is the room of the
 * file named beside it, and nobody else's. What comes with a copy of an earlier listener finds another generation.
 */
#ifndef PPSHIM_RECORD_H
#define PPSHIM_RECORD_H

#include "leader.h"
#include "listener.h"
#include "parked.h"
#include "slot.h"
#include "usage.h"
#include <stdatomic.h>
#include <stdint.h>

struct pps_record {
    _Atomic(struct pps_listener) listener; /* generation 0: it never had one */
    _Atomic unsigned numbers;              /* that stand for it; 0: free. listener.c, under the lock */
    _Atomic int lowat;                     /* SO_RCVLOWAT */
    _Atomic uint64_t cookie;               /* the listener's */
    struct pps_usage usage;                /* usage.h */
    struct pps_slot held;                  /* acquire.c: the connection a wait was told of */
    struct pps_leader leader;              /* leader.c */
    struct pps_parked parked;              /* parked.c, under the lock */
    _Atomic int beside;                    /* interest.c: the private epoll, plus one; 0: none */
};

extern struct pps_record pps_records[PPS_LISTENERS_MAX];

/* One behind the last that ever had a listener. */
struct pps_record *pps_records_end(void);

static inline struct pps_record *pps_record_of(const struct pps_listener *l)
{
    return &pps_records[l->index];
}

static inline bool pps_record_is_of(const struct pps_record *r, const struct pps_listener *l)
{
    struct pps_listener its = atomic_load(&r->listener);
    return its.generation == l->generation;
}

#endif
