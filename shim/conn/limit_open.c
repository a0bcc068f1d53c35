/* SPDX-License-Identifier: MIT
 *
 * limit_open.c: see limit_open.h.
 *
 * A slot is free, being written (the cookie has a high bit that no cookie has, and the time), or complete. Who finds
 * one being written for a second takes it over: its writer was killed. That a slot is the client's stands in the slot
 * itself: what it had when the place was another's is nobody's.
 */
#include "limit_open.h"
#include <errno.h>
#include <string.h>

#define WRITING (UINT64_C(1) << 63)
#define WRITING_MS 1000
#define TRIES 8   /* as in limit_rate.c, and against others that take the slots just freed */
#define VICTIMS 4 /* clients that are asked after before one that has connections open goes */
#define MILLISECOND 1000000

/* --- one slot --- */

static uint64_t owner_bits(uint64_t client)
{
    return client & 0x7fff;
}

static uint64_t ends_of(const struct pps_asked *c, uint64_t client)
{
    return (uint64_t)c->peer.port << 48 | (uint64_t)c->local.port << 32 | (uint64_t)c->interface << 16 |
           owner_bits(client) << 1 | (c->inode != 0);
}

static void write_words(struct pps_open_slot *s, const struct pps_asked *c, uint64_t client)
{
    uint64_t w[5];
    memcpy(w, c->peer.ip, 16);
    memcpy(w + 2, c->local.ip, 16);
    if (c->inode)
        w[0] = c->inode;
    w[4] = ends_of(c, client);
    for (int i = 0; i < 5; i++)
        atomic_store_explicit(&s->word[i], w[i], memory_order_relaxed);
}

/* false: it is not free. */
static bool write_slot(struct pps_open_slot *s, const struct pps_asked *c, uint64_t client, uint64_t now)
{
    uint64_t old = atomic_load(&s->cookie), mine = WRITING | now / MILLISECOND;
    bool abandoned = old & WRITING && mine - old > WRITING_MS && mine > old;
    if ((old && !abandoned) || !atomic_compare_exchange_strong(&s->cookie, &old, mine))
        return false;
    write_words(s, c, client);
    return atomic_compare_exchange_strong(&s->cookie, &mine, c->cookie);
}

/* false: it is empty, or being written. */
static bool read_slot(struct pps_open_slot *s, struct pps_asked *c, uint64_t *owner)
{
    uint64_t w[5];
    *c = (struct pps_asked){.cookie = atomic_load(&s->cookie)};
    for (int i = 0; i < 5; i++)
        w[i] = atomic_load_explicit(&s->word[i], memory_order_acquire);
    if (!c->cookie || c->cookie & WRITING || atomic_load(&s->cookie) != c->cookie)
        return false;
    memcpy(c->peer.ip, w, 16);
    memcpy(c->local.ip, w + 2, 16);
    c->inode = w[4] & 1 ? w[0] : 0;
    c->peer.port = (uint16_t)(w[4] >> 48);
    c->local.port = (uint16_t)(w[4] >> 32);
    c->interface = (uint16_t)(w[4] >> 16);
    *owner = w[4] >> 1 & 0x7fff;
    return true;
}

static void free_slot(struct pps_open_slot *s, uint64_t cookie)
{
    atomic_compare_exchange_strong(&s->cookie, &cookie, 0);
}

/* --- the slots of one client --- */

struct place {
    const struct pps_open_table *table;
    struct pps_open_set *set;
    int way;
};

static struct pps_open_slot *slot_of(const struct place *p, unsigned i)
{
    size_t clients = (size_t)p->table->count * PPS_LIMIT_WAYS;
    return &p->table->slots[clients * i + (size_t)(p->set - p->table->sets) * PPS_LIMIT_WAYS + (size_t)p->way];
}

/* NULL: none is free. */
static struct pps_open_slot *take_slot(const struct place *p, const struct pps_asked *c, uint64_t client, uint64_t now)
{
    unsigned most = p->table->most, first = atomic_load(&p->set->next[p->way]) % most;
    for (unsigned n = 0; n < most; n++) {
        unsigned i = (first + n) % most;
        if (!write_slot(slot_of(p, i), c, client, now))
            continue;
        atomic_store(&p->set->next[p->way], i + 1);
        atomic_store(&p->set->used[p->way], (uint32_t)(now / MILLISECOND));
        return slot_of(p, i);
    }
    return NULL;
}

struct found {
    bool room, open; /* a free slot; an open connection */
    int failed;      /* errno: they cannot be asked after */
};

static void ask_after(const struct pps_asker *asker, struct pps_open_slot *s, uint64_t client, struct found *f)
{
    struct pps_asked c;
    uint64_t owner;
    if (!read_slot(s, &c, &owner)) {
        f->room |= !atomic_load(&s->cookie);
        return;
    }
    enum pps_ask a = owner == owner_bits(client) ? pps_ask(asker, &c) : PPS_ASK_ENDED;
    if (a == PPS_ASK_FAILED) {
        f->failed = errno;
    } else if (a == PPS_ASK_OPEN) {
        f->open = true;
    } else {
        free_slot(s, c.cookie);
        f->room = true;
    }
}

/* Frees the slots of what ended. `any`: one open connection is enough to know. */
static struct found ask_after_all(const struct place *p, uint64_t client, bool any)
{
    struct found f = {false, false, 0};
    struct pps_asker asker;
    pps_ask_begin(&asker);
    for (unsigned i = 0; i < p->table->most && !f.failed && !(any && f.open); i++)
        ask_after(&asker, slot_of(p, i), client, &f);
    pps_ask_end(&asker);
    return f;
}

/* --- the clients of one set --- */

/* -1: all of them were `asked` after. */
static int least_recent(struct pps_open_set *set, unsigned asked, uint32_t now_ms)
{
    int found = -1;
    uint32_t longest = 0;
    for (int way = 0; way < PPS_LIMIT_WAYS; way++) {
        uint32_t idle = now_ms - atomic_load(&set->used[way]);
        if (asked & 1u << way || (found >= 0 && idle <= longest))
            continue;
        found = way;
        longest = idle;
    }
    return found;
}

static bool give(struct pps_open_set *set, int way, uint64_t whose, uint64_t client, uint32_t now_ms)
{
    atomic_store(&set->used[way], now_ms);
    return atomic_compare_exchange_strong(&set->client[way], &whose, client);
}

/* All its ways are taken: that of a client that has nothing open becomes the client's, or else the least recent's. */
static void replace(const struct pps_open_table *t, struct pps_open_set *set, uint64_t client, uint64_t now,
                    bool *forgot)
{
    unsigned asked = 0;
    uint32_t now_ms = (uint32_t)(now / MILLISECOND);
    int first = least_recent(set, 0, now_ms);
    for (int n = 0; n < VICTIMS; n++) {
        struct place p = {t, set, least_recent(set, asked, now_ms)};
        uint64_t whose = atomic_load(&set->client[p.way]);
        struct found f = ask_after_all(&p, whose, true);
        if (!f.open && !f.failed) {
            give(set, p.way, whose, client, now_ms);
            return;
        }
        asked |= 1u << p.way;
    }
    *forgot |= give(set, first, atomic_load(&set->client[first]), client, now_ms);
}

enum pps_open pps_open_take(const struct pps_open_table *t, uint64_t client, const struct pps_asked *c, uint64_t now,
                            bool *forgot)
{
    struct pps_open_set *set = &t->sets[pps_limit_set_of(client, t->count)];
    for (int i = 0; i < TRIES; i++) {
        struct place p = {t, set, pps_limit_enter(set->client, client)};
        if (p.way < 0) {
            replace(t, set, client, now, forgot);
            continue;
        }
        struct pps_open_slot *s = take_slot(&p, c, client, now);
        if (s && atomic_load(&set->client[p.way]) == client)
            return PPS_OPEN_TAKEN;
        if (s) { /* the place has become another's meanwhile */
            free_slot(s, c->cookie);
            continue;
        }
        struct found f = ask_after_all(&p, client, false);
        errno = f.failed;
        if (!f.room)
            return f.failed ? PPS_OPEN_UNKNOWN : PPS_OPEN_FULL;
    }
    return PPS_OPEN_FULL;
}
