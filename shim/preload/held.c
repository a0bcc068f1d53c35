/* SPDX-License-Identifier: MIT
 *
 * held.c: see held.h.
 */
#include <fcntl.h>
#include <ppshim/held.h>
#include <ppshim/real.h>
#include <stdatomic.h>
#include <string.h>

/* The state of a place is EMPTY or says whose it is: one of these beside the listener's generation. */
enum { EMPTY, FILLING, FULL, TAKING, WHAT = 3 };

static struct pps_place {
    _Atomic uint32_t state;
    _Atomic uint16_t generation; /* the first that is not closed; the guard's to change */
    _Atomic int accepting;       /* accept4 flags last used by this process, plus one; 0: it never called accept */
    atomic_bool passed, seen;
    _Atomic int blocking; /* 1 yes, -1 no, 0 not asked yet */
    int flags;            /* the held connection was accepted with */
    struct pps_conn conn;
} places[PPS_LISTENERS_MAX];
static _Atomic unsigned places_end;

static uint32_t word(const struct pps_listener *l, uint32_t what)
{
    return (uint32_t)l->generation << 2 | what;
}

static bool is_closed(const struct pps_listener *l)
{
    return pps_listener_is_older(l, atomic_load(&places[l->index].generation));
}

static void raise_end(unsigned index)
{
    unsigned end = atomic_load(&places_end);
    while (end <= index && !atomic_compare_exchange_weak(&places_end, &end, index + 1))
        ;
}

static struct pps_place *place_of(const struct pps_listener *l)
{
    raise_end(l->index);
    return is_closed(l) ? NULL : &places[l->index];
}

/* The number may have been closed and be somebody else's by now: then its peer is another, but for Unix peers, which
   all look alike. */
static bool is_still_held(const struct pps_conn *c)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    return !c->listener.is_unix && real_getpeername(c->fd, (struct sockaddr *)&peer, &length) == 0 &&
           length == c->peer_raw_len && memcmp(&peer, &c->peer_raw, length) == 0;
}

/* `sure`: its number is ours still. */
static void close_held(const struct pps_listener *l, bool sure)
{
    struct pps_place *p = &places[l->index];
    uint32_t full = word(l, FULL);
    if (!atomic_compare_exchange_strong(&p->state, &full, word(l, TAKING)))
        return;
    if (sure || is_still_held(&p->conn)) {
        shutdown(p->conn.fd, SHUT_RDWR);
        real_close(p->conn.fd);
    }
    atomic_store(&p->state, EMPTY);
}

/* --- how the server goes about it --- */

bool pps_place_accepting(const struct pps_listener *l, int flags)
{
    struct pps_place *p = place_of(l);
    if (!p)
        return false;
    if (atomic_load(&p->accepting) != flags + 1)
        atomic_store(&p->accepting, flags + 1);
    return atomic_load(&p->passed) && atomic_exchange(&p->passed, false);
}

int pps_place_flags(const struct pps_listener *l)
{
    const struct pps_place *p = place_of(l);
    return p ? atomic_load(&p->accepting) - 1 : -1;
}

void pps_place_pass(const struct pps_listener *l)
{
    struct pps_place *p = place_of(l);
    if (p)
        atomic_store(&p->passed, true);
}

void pps_place_see(const struct pps_listener *l)
{
    struct pps_place *p = place_of(l);
    if (p && !atomic_load(&p->seen))
        atomic_store(&p->seen, true);
}

bool pps_place_is_seen(const struct pps_listener *l)
{
    const struct pps_place *p = place_of(l);
    return p && atomic_load(&p->seen);
}

bool pps_place_is_blocking(const struct pps_listener *l, int listener_fd)
{
    struct pps_place *p = place_of(l);
    int known = p ? atomic_load_explicit(&p->blocking, memory_order_relaxed) : 0;
    if (!known) {
        known = fcntl(listener_fd, F_GETFL) & O_NONBLOCK ? -1 : 1;
        if (p)
            atomic_store_explicit(&p->blocking, known, memory_order_relaxed);
    }
    return known > 0;
}

/* --- the held connection --- */

bool pps_place_holds(const struct pps_listener *l)
{
    return atomic_load(&places[l->index].state) == word(l, FULL);
}

enum pps_claim pps_place_claim(const struct pps_listener *l)
{
    struct pps_place *p = place_of(l);
    uint32_t state = EMPTY;
    if (!p)
        return PPS_CLAIM_CLOSED;
    if (atomic_compare_exchange_strong(&p->state, &state, word(l, FILLING)))
        return PPS_CLAIMED;
    if ((state & ~WHAT) != word(l, 0))
        return PPS_CLAIM_LEFT;
    return state == word(l, FULL) ? PPS_CLAIM_HELD : PPS_CLAIM_BUSY;
}

/* Held first and then looked whether the listener is still there; who closes it does the reverse. So one of both sees
   the other. */
bool pps_place_put(const struct pps_listener *l, const struct pps_conn *conn, int flags)
{
    struct pps_place *p = &places[l->index];
    if (!conn) {
        atomic_store(&p->state, EMPTY);
        return true;
    }
    p->conn = *conn;
    p->flags = flags;
    atomic_store(&p->state, word(l, FULL));
    if (!is_closed(l))
        return true;
    close_held(l, true);
    return false;
}

bool pps_place_take(const struct pps_listener *l, int flags, struct pps_conn *conn)
{
    struct pps_place *p = &places[l->index];
    uint32_t full = word(l, FULL);
    if (!atomic_compare_exchange_strong(&p->state, &full, word(l, TAKING)))
        return false;
    *conn = p->conn;
    int changed = flags ^ p->flags;
    atomic_store(&p->state, EMPTY);
    if (changed & SOCK_NONBLOCK)
        fcntl(conn->fd, F_SETFL, fcntl(conn->fd, F_GETFL) ^ O_NONBLOCK);
    if (changed & SOCK_CLOEXEC)
        fcntl(conn->fd, F_SETFD, flags & SOCK_CLOEXEC ? FD_CLOEXEC : 0);
    return true;
}

void pps_place_closing(const struct pps_listener *l, bool unseen)
{
    struct pps_place *p = &places[l->index];
    atomic_store(&p->generation, pps_listener_next_generation(l));
    close_held(l, !unseen);
    atomic_store(&p->accepting, 0);
    atomic_store(&p->passed, false);
    atomic_store(&p->seen, false);
    atomic_store(&p->blocking, 0);
}

void pps_place_after_fork(bool at_once)
{
    for (struct pps_place *p = places; p < places + atomic_load(&places_end); p++) {
        if ((atomic_load(&p->state) & WHAT) == FULL && (at_once || is_still_held(&p->conn)))
            real_close(p->conn.fd);
        atomic_store(&p->state, EMPTY);
        atomic_store(&p->accepting, 0);
        atomic_store(&p->seen, false);
    }
}
