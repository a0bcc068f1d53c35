/* SPDX-License-Identifier: MIT
 *
 * limit_rate.c: see limit_rate.h.
 *
 * A bucket's word is when it is full again (36 years of nanoseconds since boot are room enough) and, above that, four
 * bits of whose it is: who was slow and charges a bucket that has become another client's does not charge that one.
 */
#include "limit_rate.h"

#define TIME (UINT64_MAX >> 4)
#define TRIES 8 /* against others that take away the place that was just found; beyond that the client is let in */

enum outcome { LOST, EMPTY, TAKEN };

static uint64_t mark_of(uint64_t client)
{
    return client & ~TIME;
}

static enum outcome take(struct pps_rate_set *set, int way, const struct pps_limit *limit, uint64_t client,
                         uint64_t now)
{
    uint64_t old = atomic_load(&set->bucket[way]), full_at;
    do {
        if (atomic_load(&set->client[way]) != client)
            return LOST;
        full_at = (old & ~TIME) == mark_of(client) ? old & TIME : 0;
        if (!pps_limit_take(limit, &full_at, now))
            return EMPTY;
    } while (!atomic_compare_exchange_weak(&set->bucket[way], &old, mark_of(client) | full_at));
    return TAKEN;
}

/* Who misses the fewest tokens loses the least; nobody, where the bucket is full again. */
static void replace(struct pps_rate_set *set, uint64_t client, uint64_t now, bool *forgot)
{
    int victim = 0;
    uint64_t whose = 0, bucket = UINT64_MAX;
    for (int way = 0; way < PPS_LIMIT_WAYS; way++) {
        uint64_t there = atomic_load(&set->client[way]), word = atomic_load(&set->bucket[way]);
        if (whose && (word & TIME) >= (bucket & TIME))
            continue;
        victim = way;
        whose = there;
        bucket = word;
    }
    if (!atomic_compare_exchange_strong(&set->bucket[victim], &bucket, 0)) /* is in use just now */
        return;
    if (atomic_compare_exchange_strong(&set->client[victim], &whose, client))
        *forgot |= (bucket & TIME) > now;
}

bool pps_rate_take(struct pps_rate_set *sets, uint32_t count, const struct pps_limit *limit, uint64_t client,
                   uint64_t now, bool *forgot)
{
    struct pps_rate_set *set = &sets[pps_limit_set_of(client, count)];
    for (int i = 0; i < TRIES; i++) {
        int way = pps_limit_enter(set->client, client);
        enum outcome o = way < 0 ? LOST : take(set, way, limit, client, now);
        if (o != LOST)
            return o == TAKEN;
        if (way < 0)
            replace(set, client, now, forgot);
    }
    return true;
}
