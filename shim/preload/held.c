/* SPDX-License-Identifier: MIT
 *
 * held.c: see held.h.
 */
#include <fcntl.h>
#include <ppshim/held.h>
#include <ppshim/real.h>
#include <stdatomic.h>
#include <string.h>

enum { EMPTY, FILLING, FULL, TAKING };

struct pps_place {
    _Atomic int state;
    _Atomic uint16_t generation; /* of the listener it belongs to */
    _Atomic int accepting;       /* accept4 flags last used by this process, plus one; 0: it never called accept */
    atomic_bool passed, seen;
    _Atomic int blocking; /* 1 yes, -1 no, 0 not asked yet */
    int flags;            /* the held connection was accepted with */
    struct pps_conn conn;
};

static struct pps_place places[PPS_LISTENERS_MAX];
static struct pps_place nowhere; /* of listeners that are closed */
static _Atomic unsigned places_end;

static void close_held(struct pps_place *p)
{
    int full = FULL;
    if (!atomic_compare_exchange_strong(&p->state, &full, TAKING))
        return;
    shutdown(p->conn.fd, SHUT_RDWR);
    real_close(p->conn.fd);
    atomic_store(&p->state, EMPTY);
}

/* What an earlier listener left in the record is not this one's, and a copy of an earlier one finds nothing. */
struct pps_place *pps_place_of(const struct pps_listener *l)
{
    struct pps_place *p = &places[l->index];
    if (pps_listener_is_older(l, atomic_load(&p->generation)))
        return &nowhere;
    unsigned end = atomic_load(&places_end);
    if (atomic_load(&p->generation) != l->generation &&
        atomic_exchange(&p->generation, l->generation) != l->generation) {
        close_held(p);
        atomic_store(&p->accepting, 0);
        atomic_store(&p->passed, false);
        atomic_store(&p->seen, false);
        atomic_store(&p->blocking, 0);
    }
    while (end <= l->index && !atomic_compare_exchange_weak(&places_end, &end, l->index + 1u))
        ;
    return p;
}

/* --- how the server goes about it --- */

bool pps_place_accepting(struct pps_place *p, int flags)
{
    if (atomic_load(&p->accepting) != flags + 1)
        atomic_store(&p->accepting, flags + 1);
    return atomic_load(&p->passed) && atomic_exchange(&p->passed, false);
}

int pps_place_flags(const struct pps_place *p)
{
    return atomic_load(&p->accepting) - 1;
}

void pps_place_pass(struct pps_place *p)
{
    atomic_store(&p->passed, true);
}

void pps_place_see(struct pps_place *p)
{
    if (!atomic_load(&p->seen))
        atomic_store(&p->seen, true);
}

bool pps_place_is_seen(const struct pps_place *p)
{
    return atomic_load(&p->seen);
}

bool pps_place_is_blocking(struct pps_place *p, int listener_fd)
{
    int known = atomic_load_explicit(&p->blocking, memory_order_relaxed);
    if (!known) {
        known = fcntl(listener_fd, F_GETFL) & O_NONBLOCK ? -1 : 1;
        atomic_store_explicit(&p->blocking, known, memory_order_relaxed);
    }
    return known > 0;
}

/* --- the held connection --- */

bool pps_place_holds(const struct pps_place *p)
{
    return atomic_load(&p->state) == FULL;
}

enum pps_claim pps_place_claim(struct pps_place *p)
{
    int state = EMPTY;
    if (atomic_compare_exchange_strong(&p->state, &state, FILLING))
        return PPS_CLAIMED;
    return state == FULL ? PPS_CLAIM_HELD : PPS_CLAIM_BUSY;
}

void pps_place_put(struct pps_place *p, const struct pps_conn *conn, int flags)
{
    if (conn) {
        p->conn = *conn;
        p->flags = flags;
    }
    atomic_store(&p->state, conn ? FULL : EMPTY);
}

bool pps_place_take(struct pps_place *p, int flags, struct pps_conn *conn)
{
    int full = FULL;
    if (!atomic_compare_exchange_strong(&p->state, &full, TAKING))
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

void pps_place_closing(const struct pps_listener *l)
{
    close_held(pps_place_of(l));
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

void pps_place_after_fork(bool at_once)
{
    for (struct pps_place *p = places; p < places + atomic_load(&places_end); p++) {
        if (atomic_load(&p->state) == FULL && (at_once || is_still_held(&p->conn)))
            real_close(p->conn.fd);
        atomic_store(&p->state, EMPTY);
        atomic_store(&p->accepting, 0);
        atomic_store(&p->seen, false);
    }
}
