/* SPDX-License-Identifier: MIT
 *
 * limit_rate.h: the token buckets of clients, shared by processes (limit_ways.h).
 *
 * Any thread, any signal handler; no system call, no lock.
 */
#ifndef PPSHIM_LIMIT_RATE_H
#define PPSHIM_LIMIT_RATE_H

#include "limit_ways.h"
#include <ppshim/limit.h>
#include <stdbool.h>

struct pps_rate_set { /* begins as zeros */
    _Atomic uint64_t client[PPS_LIMIT_WAYS];
    _Atomic uint64_t bucket[PPS_LIMIT_WAYS];
};

/* Takes a token of the client's. false: there is none. *forgot is set if that cost another client its account while
   tokens were missing there: the set is full, and the one whose bucket is the nearest to full again goes. */
bool pps_rate_take(struct pps_rate_set *sets, uint32_t count, const struct pps_limit *limit, uint64_t client,
                   uint64_t now, bool *forgot);

#endif
