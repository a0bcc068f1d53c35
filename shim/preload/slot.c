/* SPDX-License-Identifier: MIT
 *
 * slot.c: see slot.h.
 *
 * The word: 32 bits of epoch, 16 of tag, CLOSED, the state.
 */
#include "slot.h"
#include "fd_table.h"
#include "process.h"
#include <ppshim/real.h>

enum { EMPTY, CLAIMED, FULL, STATE = 3, CLOSED = 4 };

static uint64_t make_word(uint16_t tag, unsigned state)
{
    return (uint64_t)pps_process_epoch() << 32 | (uint32_t)tag << 16 | state;
}

static bool change(struct pps_slot *s, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong(&s->word, &from, to);
}

static pps_claim claim(struct pps_slot *s, uint16_t tag, unsigned state)
{
    uint64_t claimed = make_word(tag, CLAIMED);
    return change(s, make_word(tag, state), claimed) ? claimed : 0;
}

bool pps_slot_open(struct pps_slot *s, uint16_t tag)
{
    uint64_t word = atomic_load(&s->word);
    return (word & STATE) == EMPTY && change(s, word, make_word(tag, EMPTY));
}

bool pps_slot_close(struct pps_slot *s, uint16_t tag, struct pps_conn *conn)
{
    uint64_t word = atomic_load(&s->word);
    do {
        if ((uint16_t)(word >> 16) != tag || word & CLOSED)
            return false;
    } while (!change(s, word, word | CLOSED) && (word = atomic_load(&s->word), true));
    if ((word & STATE) != FULL)
        return false;
    *conn = s->conn;
    atomic_store(&s->fd, 0);
    atomic_fetch_and(&s->word, ~(uint64_t)STATE);
    return true;
}

bool pps_slot_is_idle(const struct pps_slot *s)
{
    return (atomic_load(&s->word) & STATE) == EMPTY;
}

bool pps_slot_is_full(const struct pps_slot *s, uint16_t tag)
{
    return atomic_load(&s->word) == make_word(tag, FULL);
}

pps_claim pps_slot_claim_empty(struct pps_slot *s, uint16_t tag)
{
    return claim(s, tag, EMPTY);
}

pps_claim pps_slot_claim_full(struct pps_slot *s, uint16_t tag)
{
    return claim(s, tag, FULL);
}

uint16_t pps_slot_tag(const struct pps_slot *s)
{
    return (uint16_t)(atomic_load(&s->word) >> 16);
}

pps_claim pps_slot_claim_next(struct pps_slot *s)
{
    uint64_t word = atomic_load(&s->word), claimed = make_word((uint16_t)((word >> 16) + 1), CLAIMED);
    return (word & STATE) == EMPTY && change(s, word, claimed) ? claimed : 0;
}

bool pps_slot_is_void(const struct pps_slot *s, pps_claim claim)
{
    return (atomic_load(&s->word) & ~(uint64_t)CLOSED) != claim;
}

void pps_slot_expect(struct pps_slot *s, pps_claim claim, int fd)
{
    if (!pps_slot_is_void(s, claim))
        atomic_store(&s->fd, fd + 1);
}

/* A handler that interrupted whoever has the claim forked, and this is the child, which has returned from it. */
static bool is_parents(pps_claim claim)
{
    return claim >> 32 != (uint32_t)pps_process_epoch();
}

/* Ends a claim that was not void a moment ago; false: the slot was closed meanwhile, or the claim is the parent's. */
static bool leave(struct pps_slot *s, pps_claim claim, unsigned state)
{
    if (change(s, claim, (claim & ~(uint64_t)STATE) | state))
        return true;
    atomic_store(&s->fd, 0);
    if (!is_parents(claim))
        atomic_fetch_and(&s->word, ~(uint64_t)STATE);
    return false;
}

bool pps_slot_put(struct pps_slot *s, pps_claim claim, struct pps_conn *conn, int flags)
{
    if (pps_slot_is_void(s, claim)) {
        conn->fd = -1;
        return false;
    }
    s->conn = *conn;
    s->flags = flags;
    atomic_store(&s->fd, conn->fd + 1);
    if (leave(s, claim, FULL))
        return true;
    if (is_parents(claim))
        conn->fd = -1;
    return false;
}

void pps_slot_release(struct pps_slot *s, pps_claim claim)
{
    if (pps_slot_is_void(s, claim))
        return;
    atomic_store(&s->fd, 0);
    leave(s, claim, EMPTY);
}

/* Of a child that ran for a while, only what is certainly a copy still is closed. */
void pps_slot_after_fork(struct pps_slot *s, bool at_once)
{
    uint64_t word = atomic_load(&s->word);
    int fd = atomic_load(&s->fd) - 1;
    if (fd >= 0 && (at_once || ((word & STATE) == FULL && pps_conn_is_still(&s->conn)))) {
        pps_fd_mark(fd, PPS_FD_UNKNOWN);
        real_close(fd);
    }
    atomic_store(&s->fd, 0);
    atomic_store(&s->word, make_word((uint16_t)(word >> 16), EMPTY) | (word & CLOSED));
}
