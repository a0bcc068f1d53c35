/* SPDX-License-Identifier: MIT
 *
 * settle.c: takes connections in, and holds the one a wait was told of (settle.h).
 *
 * The held connection is a slot of atomics, not under the guard: taking it over costs no system call. Whoever moves it
 * on claims it first (FILLING, TAKING); nobody waits for a claim.
 */
#include <errno.h>
#include <fcntl.h>
#include <ppshim/closing.h>
#include <ppshim/guard.h>
#include <ppshim/log.h>
#include <ppshim/park.h>
#include <ppshim/real.h>
#include <ppshim/settle.h>
#include <ppshim/signals.h>
#include <ppshim/watch.h>
#include <stdatomic.h>

/* How many connections a wait looks at before it goes back to the kernel, so that a flood of bad ones is shared. */
#define TRIES 64

enum { EMPTY, FILLING, FULL, TAKING };

static struct place {
    _Atomic int state;
    _Atomic uint16_t generation; /* of the listener it belongs to */
    _Atomic int accepting;       /* accept4 flags last used by this process, plus one; 0: it never called accept */
    atomic_bool passed;          /* a wait passed the kernel's readiness on */
    atomic_bool seen;
    _Atomic int blocking; /* the listener: 1 yes, -1 no, 0 not asked yet; a later change goes unnoticed */
    int flags;            /* the held connection was accepted with */
    struct pps_conn conn;
} places[PPS_LISTENERS_MAX];
static struct place nowhere; /* of listeners that are closed: nothing is accepted, nothing held */
static _Atomic unsigned places_end;

static void close_held(struct place *p)
{
    int full = FULL;
    if (!atomic_compare_exchange_strong(&p->state, &full, TAKING))
        return;
    shutdown(p->conn.fd, SHUT_RDWR);
    real_close(p->conn.fd);
    atomic_store(&p->state, EMPTY);
}

/* What an earlier listener left in the record is not this one's, and a copy of an earlier one finds nothing. */
static struct place *place_of(const struct pps_listener *l)
{
    struct place *p = &places[l->index];
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

/* --- taking in --- */

static void refresh_trust(void)
{
    char news[PPS_ERROR_TEXT];
    bool failed;
    struct pps_line l;
    if (!pps_trust_refresh(news, &failed))
        return;
    pps_line_begin(&l, news);
    pps_log(failed ? PPS_LOG_ERROR : PPS_LOG_NOTICE, &l);
}

bool pps_settle_make_room(void)
{
    struct pps_conn oldest;
    if (!pps_park_evict(&oldest))
        return false;
    pps_admit_close(&oldest, PPS_REASON_TOO_MANY_PENDING);
    return true;
}

static void park(struct pps_conn *c, int flags)
{
    while (pps_park_full() && pps_settle_make_room())
        ;
    if (!pps_park_put(c, flags))
        pps_admit_close(c, PPS_REASON_NO_ROOM);
}

bool pps_settle_take_in(const struct pps_listener *l, int fd, const struct sockaddr *peer, socklen_t peer_len,
                        int flags, unsigned forks, struct pps_signals *signals, struct pps_conn *conn)
{
    uint8_t buf[PPS_ADMIT_STACK];
    enum pps_reason reason;
    pps_closed_unseen(fd);
    refresh_trust();
    enum pps_admission a = pps_admit_begin(conn, l, fd, peer, peer_len, buf, sizeof buf, &reason);
    if (forks != pps_process_forks()) {
        real_close(fd); /* without a shutdown: it is the parent's */
        return false;
    }
    if (a != PPS_ADMIT_READY && signals)
        pps_signals_block(signals); /* the wait will go on: parking takes its time */
    if (a == PPS_ADMIT_WAIT)
        park(conn, flags);
    else if (a == PPS_ADMIT_GONE)
        pps_admit_close(conn, reason);
    return a == PPS_ADMIT_READY;
}

/* --- settling; the place is claimed --- */

static bool one_from_parked(const struct pps_listener *l, int flags, struct pps_conn *conn)
{
    enum pps_reason reason;
    for (int i = 0; i < TRIES; i++) {
        enum pps_park_event event = pps_park_next(l, flags, conn, &reason);
        if (event != PPS_PARK_GONE)
            return event == PPS_PARK_READY;
        pps_admit_close(conn, reason);
    }
    return false;
}

/* One settling of one listener. */
struct settling {
    struct place *place;
    const struct pps_listener *l;
    int listener_fd, flags;
    bool readable; /* the kernel just said so */
    struct pps_signals *signals;
    unsigned forks; /* a child that returns into its parent's wait must leave the parent's connections alone */
    struct pps_conn conn;
};

static bool is_blocking(const struct settling *s)
{
    int known = atomic_load_explicit(&s->place->blocking, memory_order_relaxed);
    if (!known) {
        known = fcntl(s->listener_fd, F_GETFL) & O_NONBLOCK ? -1 : 1;
        atomic_store_explicit(&s->place->blocking, known, memory_order_relaxed);
    }
    return known > 0;
}

/* -1 and EAGAIN when there is nothing, as far as that can be told beforehand. */
static int accept_one(struct settling *s, struct sockaddr *peer, socklen_t *len)
{
    bool may_sleep = pps_process_may_share() && is_blocking(s);
    if ((!s->readable || may_sleep) && !pps_settle_is_readable(s->listener_fd)) {
        errno = EAGAIN;
        return -1;
    }
    s->readable = false;
    if (may_sleep && s->signals)
        return pps_signals_accept4(s->signals, s->listener_fd, peer, len, s->flags);
    return real_accept4(s->listener_fd, peer, len, s->flags);
}

static enum pps_settled after_failure(int why)
{
    switch (why) {
    case EINTR:
        return PPS_SETTLED_SIGNAL;
    case EAGAIN:
        return PPS_SETTLED_NOTHING;
    case ECONNABORTED:
        return PPS_SETTLED_MORE;
    case EMFILE:
        return pps_settle_make_room() ? PPS_SETTLED_MORE : PPS_SETTLED_ERROR;
    }
    return PPS_SETTLED_ERROR;
}

static enum pps_settled one_from_kernel(struct settling *s)
{
    enum pps_settled result = PPS_SETTLED_MORE;
    for (int i = 0; i < TRIES && result == PPS_SETTLED_MORE && s->forks == pps_process_forks(); i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        int fd = accept_one(s, (struct sockaddr *)&peer, &len);
        if (fd < 0)
            result = after_failure(errno);
        else if (pps_settle_take_in(s->l, fd, (struct sockaddr *)&peer, len, s->flags, s->forks, s->signals, &s->conn))
            result = PPS_SETTLED_READY;
    }
    return result;
}

static enum pps_settled fill(struct settling *s)
{
    enum pps_settled result = PPS_SETTLED_READY;
    if (pps_watch_private(s->l) < 0 || !one_from_parked(s->l, s->flags, &s->conn))
        result = one_from_kernel(s);
    if (s->forks != pps_process_forks()) {
        if (result == PPS_SETTLED_READY)
            real_close(s->conn.fd);
        return PPS_SETTLED_NOTHING;
    }
    if (result == PPS_SETTLED_READY) {
        s->place->conn = s->conn;
        s->place->flags = s->flags;
    }
    atomic_store(&s->place->state, result == PPS_SETTLED_READY ? FULL : EMPTY);
    return result;
}

/* It may have been the private epoll that fired: nothing is parked in it, but its time can be over. */
static enum pps_settled pass(struct place *p, const struct pps_listener *l, int listener_fd, bool readable)
{
    if (!readable) {
        pps_park_idle(l);
        if (!pps_settle_is_readable(listener_fd))
            return PPS_SETTLED_NOTHING;
    }
    atomic_store(&p->passed, true);
    return PPS_SETTLED_PASS;
}

/* --- what others call --- */

enum pps_settled pps_settle(const struct pps_listener *l, int listener_fd, bool readable, struct pps_signals *signals)
{
    struct place *p = place_of(l);
    int state = EMPTY;
    if (!atomic_load(&p->accepting))
        return pass(p, l, listener_fd, readable);
    if (!atomic_compare_exchange_strong(&p->state, &state, FILLING))
        return state == FULL ? PPS_SETTLED_READY : PPS_SETTLED_NOTHING;
    struct settling s = {.place = p,
                         .l = l,
                         .listener_fd = listener_fd,
                         .flags = atomic_load(&p->accepting) - 1,
                         .readable = readable,
                         .signals = signals,
                         .forks = pps_process_forks()};
    return fill(&s);
}

bool pps_settle_is_readable(int listener_fd)
{
    struct pollfd p = {.fd = listener_fd, .events = POLLIN};
    return real_poll(&p, 1, 0) == 1;
}

bool pps_settle_accepting(const struct pps_listener *l, int flags)
{
    struct place *p = place_of(l);
    if (atomic_load(&p->accepting) != flags + 1)
        atomic_store(&p->accepting, flags + 1);
    return atomic_load(&p->passed) && atomic_exchange(&p->passed, false);
}

void pps_settle_seen(const struct pps_listener *l)
{
    struct place *p = place_of(l);
    if (!atomic_load(&p->seen))
        atomic_store(&p->seen, true);
}

bool pps_settle_is_seen(const struct pps_listener *l)
{
    return atomic_load(&place_of(l)->seen) || pps_watch_any(l);
}

bool pps_settle_holds(const struct pps_listener *l)
{
    return atomic_load(&place_of(l)->state) == FULL;
}

bool pps_settle_take(const struct pps_listener *l, int flags, struct pps_conn *conn)
{
    struct place *p = place_of(l);
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

void pps_settle_closing(const struct pps_listener *l)
{
    close_held(place_of(l));
}

/* The child owns no held connection; whether it accepts is yet to be seen. What a wait passed on before the fork it may
   have been made to accept: `passed` stays. */
void pps_settle_after_fork(bool at_once)
{
    for (struct place *p = places; p < places + atomic_load(&places_end); p++) {
        if (atomic_load(&p->state) == FULL && at_once)
            real_close(p->conn.fd);
        atomic_store(&p->state, EMPTY);
        atomic_store(&p->accepting, 0);
        atomic_store(&p->seen, false);
    }
}
