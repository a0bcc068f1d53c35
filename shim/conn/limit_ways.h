/* SPDX-License-Identifier: MIT
 *
 * limit_ways.h: where a client's account lies: in one of sixteen places, the ways of the set that its number (limit.h)
 * leads to.
 *
 * Shared by processes; all of it is single words that change by compare-and-swap, so that whoever is killed in the
 * middle holds nobody up. Ways are taken from the first on and never given back, only to another client: so two that
 * enter one client at once find the same way.
 */
#ifndef PPSHIM_LIMIT_WAYS_H
#define PPSHIM_LIMIT_WAYS_H

#include <stdatomic.h>
#include <stdint.h>

#define PPS_LIMIT_WAYS 16

static inline uint32_t pps_limit_set_of(uint64_t client, uint32_t sets)
{
    return (uint32_t)((client >> 32) * sets >> 32);
}

/* The client's way, or the first free one, which is the client's now; -1: there is neither. */
static inline int pps_limit_enter(_Atomic uint64_t ways[PPS_LIMIT_WAYS], uint64_t client)
{
    for (int way = 0; way < PPS_LIMIT_WAYS; way++) {
        uint64_t there = atomic_load(&ways[way]);
        if (there == client || (!there && atomic_compare_exchange_strong(&ways[way], &there, client)) ||
            there == client)
            return way;
    }
    return -1;
}

#endif
