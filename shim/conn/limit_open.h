/* SPDX-License-Identifier: MIT
 *
 * limit_open.h: which connections of a client are open, shared by processes (limit_ways.h).
 *
 * Nobody watches them close: a client has as many slots as it may have connections, each new one takes one, and only
 * when none is left are those in the slots asked after (limit_ask.h), and what ended makes room. The same where a new
 * client finds its set full: who has nothing open any more gives way.
 *
 * Any thread, any signal handler, with cancellation off; no lock. No system call but where connections are asked after:
 * then signals are held back, for a descriptor is open.
 */
#ifndef PPSHIM_LIMIT_OPEN_H
#define PPSHIM_LIMIT_OPEN_H

#include "limit_ask.h"
#include "limit_ways.h"
#include <stdbool.h>

struct pps_open_set { /* begins as zeros */
    _Atomic uint64_t client[PPS_LIMIT_WAYS];
    _Atomic uint32_t used[PPS_LIMIT_WAYS]; /* milliseconds, when the client last came */
    _Atomic uint32_t next[PPS_LIMIT_WAYS]; /* the slot behind the one it took */
};

struct pps_open_slot {       /* begins as zeros */
    _Atomic uint64_t cookie; /* 0: free */
    _Atomic uint64_t word[5];
};

struct pps_open_table {
    struct pps_open_set *sets;
    struct pps_open_slot *slots; /* first all clients' first ones: who has few connections touches little memory */
    uint32_t count;              /* of sets */
    unsigned most;               /* slots of a client */
};

enum pps_open { PPS_OPEN_TAKEN, PPS_OPEN_FULL, PPS_OPEN_UNKNOWN };

/* Takes a slot of the client's for that connection, at `now` (deadline.h). FULL: as many others are open. UNKNOWN, and
   errno: they cannot be asked after. *forgot is set if another client's account had to go though it has connections
   open: the least recent of its set. */
enum pps_open pps_open_take(const struct pps_open_table *table, uint64_t client, const struct pps_asked *connection,
                            uint64_t now, bool *forgot);

#endif
