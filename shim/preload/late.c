/* SPDX-License-Identifier: MIT
 *
 * late.c: see late.h.
 */
#include "late.h"

static struct late {
    struct pps_slot slot;
    _Atomic(struct pps_listener) listener;
    _Atomic uint64_t until;
} late_ones[PPS_LATE_MAX];

static _Atomic unsigned full; /* or about to be: nobody looks at the slots while there is none */

static bool is_full(const struct late *l)
{
    return pps_slot_is_full(&l->slot, pps_slot_tag(&l->slot));
}

bool pps_late_is_any(void)
{
    return atomic_load(&full);
}

/* The child of a fork has counted anew, and may have none. */
static void count_down(void)
{
    unsigned count = atomic_load(&full);
    while (count && !atomic_compare_exchange_weak(&full, &count, count - 1))
        ;
}

/* No such slot is ever closed: what cannot be put is the parent's, of a handler that forked in between. */
static bool take_over(struct late *late, const struct pps_listener *l, struct pps_conn *conn, int flags)
{
    int fd = conn->fd;
    pps_claim claim = pps_slot_claim_next(&late->slot);
    if (!claim)
        return false;
    pps_slot_expect(&late->slot, claim, fd);
    atomic_store(&late->listener, *l);
    atomic_store(&late->until, conn->arrived + PPS_LATE_PATIENCE);
    pps_fd_mark(fd, PPS_FD_OURS);
    atomic_fetch_add(&full, 1);
    if (!pps_slot_put(&late->slot, claim, conn, flags)) {
        pps_fd_mark(fd, PPS_FD_UNKNOWN);
        count_down();
    }
    return true;
}

bool pps_late_put(const struct pps_listener *l, struct pps_conn *conn, int flags)
{
    for (struct late *late = late_ones; late < late_ones + PPS_LATE_MAX; late++)
        if (pps_slot_is_idle(&late->slot) && take_over(late, l, conn, flags))
            return true;
    return false;
}

void pps_late_gather_none(struct pps_late *late)
{
    late->count = 0;
    late->until = PPS_NEVER;
}

static bool has(const struct pps_late *late, unsigned slot)
{
    for (unsigned i = 0; i < late->count; i++)
        if (late->which[i].slot == slot)
            return true;
    return false;
}

static void add(struct pps_late *late, unsigned slot, const struct pps_listener *l)
{
    struct late *one = &late_ones[slot];
    uint16_t tag = pps_slot_tag(&one->slot);
    struct pps_listener its = atomic_load(&one->listener);
    uint64_t until = atomic_load(&one->until);
    int fd = atomic_load(&one->slot.fd) - 1;
    if (!pps_slot_is_full(&one->slot, tag) || (l && !pps_listener_same(&its, l)) || has(late, slot))
        return;
    late->fds[late->count] = (struct pollfd){.fd = fd, .events = POLLIN | POLLRDHUP};
    late->which[late->count].slot = (uint16_t)slot;
    late->which[late->count++].tag = tag;
    late->until = until < late->until ? until : late->until;
}

void pps_late_gather(struct pps_late *late, const struct pps_listener *l)
{
    for (unsigned slot = 0; slot < PPS_LATE_MAX && pps_late_is_any(); slot++)
        if (is_full(&late_ones[slot]))
            add(late, slot, l);
}

void pps_late_gather_all(struct pps_late *late)
{
    pps_late_gather(late, NULL);
}

static bool claim_one(struct late *late, uint16_t tag, struct pps_late_claim *out)
{
    out->claim = pps_slot_claim_full(&late->slot, tag);
    if (!out->claim)
        return false;
    out->slot = &late->slot;
    out->listener = atomic_load(&late->listener);
    out->conn = late->slot.conn;
    out->flags = late->slot.flags;
    return true;
}

void pps_late_release(const struct pps_late_claim *c)
{
    if (pps_slot_is_void(c->slot, c->claim))
        return;
    pps_slot_release(c->slot, c->claim);
    count_down();
}

void pps_late_put_back(struct pps_late_claim *c)
{
    pps_slot_put(c->slot, c->claim, &c->conn, c->flags); /* never closed; void in the child of a fork */
}

bool pps_late_claim(const struct pps_late *late, unsigned i, struct pps_late_claim *out)
{
    return claim_one(&late_ones[late->which[i].slot], late->which[i].tag, out);
}

bool pps_late_claim_any(const struct pps_listener *l, struct pps_late_claim *out)
{
    for (struct late *late = late_ones; late < late_ones + PPS_LATE_MAX && pps_late_is_any(); late++) {
        struct pps_listener its = atomic_load(&late->listener);
        if (is_full(late) && (!l || pps_listener_same(&its, l)) && claim_one(late, pps_slot_tag(&late->slot), out))
            return true;
    }
    return false;
}

void pps_late_closing(int fd)
{
    struct pps_late_claim c;
    for (struct late *late = late_ones; late < late_ones + PPS_LATE_MAX; late++)
        if (atomic_load(&late->slot.fd) == fd + 1 && claim_one(late, pps_slot_tag(&late->slot), &c)) {
            pps_fd_mark(fd, PPS_FD_UNKNOWN);
            pps_late_release(&c);
        }
}

void pps_late_after_fork(bool at_once)
{
    for (struct late *late = late_ones; late < late_ones + PPS_LATE_MAX; late++)
        pps_slot_after_fork(&late->slot, at_once);
    atomic_store(&full, 0);
}
