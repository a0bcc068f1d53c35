/* SPDX-License-Identifier: MIT
 *
 * acquire.c: takes connections in, and finds the one that a wait tells of (acquire.h).
 */
#include "acquire.h"
#include "fd_close.h"
#include "interest.h"
#include "parked.h"
#include "process.h"
#include "record.h"
#include "state.h"
#include <errno.h>
#include <fcntl.h>
#include <ppshim/admit.h>
#include <ppshim/govern.h>
#include <ppshim/log.h>
#include <ppshim/real.h>

/* How many connections a wait looks at before it goes back to the kernel, so that a flood of bad ones is shared. */
#define TRIES 64

/* --- waiting for a header --- */

bool pps_acquire_make_room(void)
{
    struct pps_conn oldest;
    struct pps_late_claim late;
    if (!pps_parked_evict(&oldest)) {
        if (!pps_late_claim_any(NULL, &late))
            return false;
        oldest = late.conn;
        pps_fd_mark(oldest.fd, PPS_FD_UNKNOWN);
        pps_late_release(&late);
    }
    pps_admit_close(&oldest, PPS_REASON_TOO_MANY_PENDING);
    return true;
}

static void park(const struct pps_listener *l, struct pps_conn *c, int flags)
{
    while (pps_parked_is_full() && pps_acquire_make_room())
        ;
    if (pps_parked_put(l, c, flags))
        return;
    pps_fd_mark(c->fd, PPS_FD_UNKNOWN);
    pps_admit_close(c, pps_listener_is_open(l) ? PPS_REASON_NO_ROOM : PPS_REASON_LISTENER_CLOSED);
}

/* One that waits on, late. Who closed its listener meanwhile may have missed it. */
static void see_to_the_end(const struct pps_listener *l)
{
    if (!pps_listener_is_open(l))
        pps_acquire_end(l);
}

/* With a part of its header, or where a low-water mark hides the first bytes, there is nothing to watch for. */
static void wait_for_header(const struct pps_listener *l, struct pps_conn *c, int flags, bool watched)
{
    if (c->have || c->origin.lowat > 1 || !watched || pps_interest_is_ambiguous(l) || !pps_late_put(l, c, flags))
        park(l, c, flags);
    else
        see_to_the_end(l);
}

/* Signals are blocked unless it is ready: the wait will go on, and no handler forks before it is seen to. */
static enum pps_admission admit(const struct pps_listener *l, int fd, const struct sockaddr *peer, socklen_t peer_len,
                                struct pps_signals *signals, struct pps_conn *c, enum pps_reason *reason)
{
    uint8_t buf[PPS_ADMIT_STACK];
    struct pps_origin origin = pps_listener_origin(l);
    pps_fd_closed_unseen(fd);
    pps_govern_refresh();
    enum pps_admission a = pps_admit_begin(c, &pps_config, &origin, fd, peer, peer_len, buf, sizeof buf, reason);
    if (a != PPS_ADMIT_READY && signals)
        pps_signals_block(signals);
    return a;
}

static void see_to(enum pps_admission a, enum pps_reason reason, const struct pps_listener *l, struct pps_conn *c,
                   int flags, bool watched)
{
    if (a == PPS_ADMIT_WAIT)
        wait_for_header(l, c, flags, watched);
    else if (a == PPS_ADMIT_GONE)
        pps_admit_close(c, reason);
}

bool pps_acquire_fresh(const struct pps_listener *l, int fd, const struct sockaddr *peer, socklen_t peer_len, int flags,
                       bool watched, unsigned epoch, struct pps_signals *signals, struct pps_conn *c)
{
    enum pps_reason reason;
    enum pps_admission a = admit(l, fd, peer, peer_len, signals, c, &reason);
    if (epoch != pps_process_epoch()) {
        real_close(fd); /* without a shutdown: it is the parent's */
        return false;
    }
    see_to(a, reason, l, c, flags, watched);
    return a == PPS_ADMIT_READY;
}

/* --- late ones --- */

static void put_back(struct pps_late_claim *late)
{
    pps_late_put_back(late);
    see_to_the_end(&late->listener);
}

static void park_late(struct pps_late_claim *late)
{
    pps_late_release(late);
    park(&late->listener, &late->conn, late->flags);
}

/* One that fired: true when it is ready, and late->conn the caller's. */
static bool look_at_late(struct pps_late_claim *late)
{
    uint8_t buf[PPS_ADMIT_STACK];
    enum pps_reason reason;
    enum pps_admission a = pps_admit_look(&late->conn, &pps_config, buf, sizeof buf, &reason);
    if (pps_slot_is_void(late->slot, late->claim)) /* the child of a fork has closed its copy */
        return false;
    if (a == PPS_ADMIT_WAIT) {
        park_late(late);
        return false;
    }
    pps_fd_mark(late->conn.fd, PPS_FD_UNKNOWN);
    pps_late_release(late);
    if (a == PPS_ADMIT_GONE)
        pps_admit_close(&late->conn, reason);
    return a == PPS_ADMIT_READY;
}

static bool is_over(const struct pps_late_claim *late, uint64_t now)
{
    return late->conn.arrived + PPS_LATE_PATIENCE <= now;
}

/* Under a mark of ours, so that a server that closes what it does not know is noticed. */
static bool hold(struct pps_slot *held, pps_claim place, struct pps_conn *c, int flags)
{
    pps_fd_mark(c->fd, PPS_FD_OURS);
    if (pps_slot_put(held, place, c, flags))
        return true;
    if (c->fd < 0)
        return false;
    pps_fd_mark(c->fd, PPS_FD_UNKNOWN);
    pps_admit_close(c, PPS_REASON_LISTENER_CLOSED);
    return false;
}

/* Holds what is ready. The place is claimed first: at most one is held, and what is not can wait on. */
static bool hold_late(struct pps_late_claim *late)
{
    struct pps_slot *held = &pps_record_of(&late->listener)->held;
    pps_claim place = pps_slot_claim_empty(held, late->listener.generation);
    if (!place) {
        park_late(late);
        return false;
    }
    if (look_at_late(late))
        return hold(held, place, &late->conn, late->flags);
    pps_slot_release(held, place);
    return false;
}

bool pps_acquire_late(struct pps_late *late, bool may_hold, struct pps_listener *of)
{
    bool held = false;
    uint64_t now = late->count ? pps_now() : 0;
    for (unsigned i = 0; i < late->count; i++) {
        struct pps_late_claim one;
        bool fired = late->fds[i].revents && may_hold && !held;
        if ((!fired && late->until > now) || !pps_late_claim(late, i, &one))
            continue;
        if (fired && hold_late(&one)) {
            held = true;
            *of = one.listener;
        } else if (!fired && is_over(&one, now)) {
            park_late(&one);
        } else if (!fired) {
            put_back(&one);
        }
    }
    return held;
}

bool pps_acquire_from_late(struct pps_late *late, int flags, struct pps_conn *conn)
{
    bool ready = false;
    uint64_t now = pps_now();
    for (unsigned i = 0; i < late->count; i++) {
        struct pps_late_claim one;
        bool fired = late->fds[i].revents && !ready;
        if ((!fired && late->until > now) || !pps_late_claim(late, i, &one))
            continue;
        if (fired && look_at_late(&one)) {
            ready = true;
            *conn = one.conn;
            pps_conn_set_flags(conn, one.flags, flags);
        } else if (!fired && is_over(&one, now)) {
            park_late(&one);
        } else if (!fired) {
            put_back(&one);
        }
    }
    return ready;
}

/* What the server starts meanwhile shall not inherit it: a system call, once, where its own flags do not see to that.
 */
static void leave_one(struct pps_late_claim *late)
{
    if (!(late->flags & SOCK_CLOEXEC) && fcntl(late->conn.fd, F_SETFD, FD_CLOEXEC) == 0)
        late->flags |= SOCK_CLOEXEC; /* who hands it over mends that */
    put_back(late);
}

void pps_acquire_leave_late(struct pps_late *late)
{
    struct pps_late_claim one;
    for (unsigned i = 0; i < late->count; i++) {
        if (!pps_late_claim(late, i, &one))
            continue;
        if (pps_usage_is_shared(pps_usage_of(&one.listener)))
            park_late(&one);
        else
            leave_one(&one);
    }
}

void pps_acquire_park_ambiguous(void)
{
    struct pps_late late;
    struct pps_late_claim one;
    pps_late_gather_none(&late);
    pps_late_gather_all(&late);
    for (unsigned i = 0; i < late.count; i++) {
        if (!pps_late_claim(&late, i, &one))
            continue;
        if (pps_interest_is_ambiguous(&one.listener))
            park_late(&one);
        else
            put_back(&one);
    }
}

/* --- parked ones --- */

bool pps_acquire_from_parked(const struct pps_listener *l, int flags, struct pps_conn *conn)
{
    enum pps_reason reason;
    for (int i = 0; i < TRIES; i++) {
        enum pps_pending_event event = pps_parked_next(l, flags, conn, &reason);
        if (event != PPS_PENDING_GONE)
            return event == PPS_PENDING_READY;
        pps_admit_close(conn, reason);
    }
    return false;
}

void pps_acquire_expire(void)
{
    struct pps_conn conn;
    if (pps_parked_due() == PPS_NEVER || pps_parked_due() > pps_now())
        return;
    while (pps_parked_expire(&conn))
        pps_admit_close(&conn, PPS_REASON_TIMEOUT);
}

/* --- for a wait; the held slot is claimed --- */

struct acquiring {
    const struct pps_listener *l;
    struct pps_usage *usage;
    struct pps_slot *held;
    pps_claim claim;
    int listener_fd, flags;
    unsigned said;
    bool edge;
    struct pps_signals *signals;
    struct pps_conn conn;
};

/* By another process, or another thread of this one; and then nobody would watch who waits for a header. */
static bool may_be_taken(const struct acquiring *a)
{
    return (pps_process_has_family() || pps_usage_is_shared(a->usage)) && (pps_late_is_any() || pps_parked_count(a->l));
}

/* -1 and EAGAIN when there is nothing, as far as that can be told beforehand. */
static int accept_one(struct acquiring *a, struct sockaddr *peer, socklen_t *len)
{
    bool may_sleep = may_be_taken(a) && pps_usage_is_blocking(a->usage, a->listener_fd);
    if ((!(a->said & PPS_SAID_LISTENER) || may_sleep) && !pps_acquire_is_readable(a->listener_fd)) {
        errno = EAGAIN;
        return -1;
    }
    a->said = 0;
    if (may_sleep && a->signals)
        return pps_signals_accept4(a->signals, a->listener_fd, peer, len, a->flags);
    return real_accept4(a->listener_fd, peer, len, a->flags);
}

static enum pps_acquired after_failure(int why)
{
    switch (why) {
    case EINTR:
        return PPS_ACQUIRED_SIGNAL;
    case EAGAIN:
        return PPS_ACQUIRED_NOTHING;
    case ECONNABORTED:
        return PPS_ACQUIRED_USELESS;
    case EMFILE:
        return pps_acquire_make_room() ? PPS_ACQUIRED_USELESS : PPS_ACQUIRED_ERROR;
    }
    return PPS_ACQUIRED_ERROR;
}

static enum pps_acquired one_from_kernel(struct acquiring *a)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    enum pps_reason reason;
    int fd = accept_one(a, (struct sockaddr *)&peer, &len);
    if (fd < 0)
        return after_failure(errno);
    if (pps_slot_is_void(a->held, a->claim)) { /* the child of a fork since: no shutdown, it may be the parent's */
        real_close(fd);
        return PPS_ACQUIRED_USELESS;
    }
    pps_slot_expect(a->held, a->claim, fd);
    enum pps_admission admission = admit(a->l, fd, (struct sockaddr *)&peer, len, a->signals, &a->conn, &reason);
    if (pps_slot_is_void(a->held, a->claim)) /* the child of a fork has closed its copy */
        return PPS_ACQUIRED_USELESS;
    if (admission == PPS_ADMIT_READY)
        return PPS_ACQUIRED_READY;
    pps_slot_expect(a->held, a->claim, -1); /* before the number can be somebody else's, whom a fork would miss */
    see_to(admission, reason, a->l, &a->conn, a->flags, true);
    return PPS_ACQUIRED_USELESS;
}

/* Level-triggered, the kernel is asked again by the wait itself. */
static enum pps_acquired some_from_kernel(struct acquiring *a)
{
    enum pps_acquired result;
    for (int i = 0; i < TRIES; i++) {
        result = one_from_kernel(a);
        if (result != PPS_ACQUIRED_USELESS || !a->edge || pps_slot_is_void(a->held, a->claim))
            return result;
    }
    return PPS_ACQUIRED_MORE;
}

static enum pps_acquired acquire(struct acquiring *a)
{
    enum pps_acquired result = PPS_ACQUIRED_NOTHING;
    if (!(a->said & PPS_SAID_PARKED)) /* which would prove it */
        pps_parked_check(a->l);
    bool parked = a->said ? a->said & PPS_SAID_PARKED : pps_interest_private(a->l) >= 0;
    if (parked && pps_acquire_from_parked(a->l, a->flags, &a->conn))
        result = PPS_ACQUIRED_READY;
    else if (a->said != PPS_SAID_PARKED)
        result = some_from_kernel(a);
    if (result == PPS_ACQUIRED_ERROR) /* by the time the server asks, it may have passed, and leave a silent peer */
        pps_usage_pass(a->usage);
    if (result != PPS_ACQUIRED_READY) {
        pps_slot_release(a->held, a->claim);
        return result;
    }
    return hold(a->held, a->claim, &a->conn, a->flags) ? result : PPS_ACQUIRED_NOTHING;
}

/* It may have been the private epoll that fired: nothing is parked in it, but its time can be over. */
static enum pps_acquired pass(const struct pps_listener *l, struct pps_usage *usage, int listener_fd, unsigned said)
{
    struct pps_conn none;
    if (!(said & PPS_SAID_LISTENER)) {
        if (!pps_parked_count(l))
            pps_acquire_from_parked(l, 0, &none);
        if (!pps_acquire_is_readable(listener_fd))
            return PPS_ACQUIRED_NOTHING;
    }
    pps_usage_pass(usage);
    return PPS_ACQUIRED_PASS;
}

enum pps_acquired pps_acquire(const struct pps_listener *l, int listener_fd, unsigned said, bool edge,
                              struct pps_signals *signals)
{
    struct acquiring a = {.l = l,
                          .usage = pps_usage_of(l),
                          .held = &pps_record_of(l)->held,
                          .listener_fd = listener_fd,
                          .said = said,
                          .edge = edge,
                          .signals = signals};
    a.flags = pps_usage_flags(a.usage);
    if (a.flags < 0)
        return pass(l, a.usage, listener_fd, said);
    a.claim = pps_slot_claim_empty(a.held, l->generation);
    if (!a.claim)
        return pps_acquire_is_held(l) ? PPS_ACQUIRED_READY : PPS_ACQUIRED_NOTHING;
    return acquire(&a);
}

/* --- questions, and the held one --- */

bool pps_acquire_is_held(const struct pps_listener *l)
{
    return pps_slot_is_full(&pps_record_of(l)->held, l->generation);
}

bool pps_acquire_held(const struct pps_listener *l, int flags, struct pps_conn *conn)
{
    struct pps_slot *held = &pps_record_of(l)->held;
    pps_claim claim = pps_slot_claim_full(held, l->generation);
    if (!claim)
        return false;
    *conn = held->conn;
    int before = held->flags;
    pps_fd_mark(conn->fd, PPS_FD_UNKNOWN);
    pps_slot_release(held, claim);
    pps_conn_set_flags(conn, before, flags);
    return true;
}

bool pps_acquire_is_readable(int listener_fd)
{
    struct pollfd p = {.fd = listener_fd, .events = POLLIN};
    return real_poll(&p, 1, 0) == 1;
}

bool pps_acquire_is_seen(const struct pps_listener *l)
{
    return pps_usage_is_polled(pps_usage_of(l)) || pps_interest_is_any(l);
}

/* --- the end of a listener --- */

void pps_acquire_end(const struct pps_listener *l)
{
    struct pps_conn conn;
    struct pps_late_claim late;
    struct pps_record *r = pps_record_of(l);
    if (pps_slot_close(&r->held, l->generation, &conn) && pps_conn_is_still(&conn)) {
        pps_fd_mark(conn.fd, PPS_FD_UNKNOWN);
        shutdown(conn.fd, SHUT_RDWR);
        real_close(conn.fd);
    }
    while (pps_late_claim_any(l, &late)) {
        pps_late_release(&late);
        if (!pps_conn_is_still(&late.conn)) /* closed behind our back, like the listener */
            continue;
        pps_fd_mark(late.conn.fd, PPS_FD_UNKNOWN);
        pps_admit_close(&late.conn, PPS_REASON_LISTENER_CLOSED);
    }
    while (pps_parked_abandon(l, &conn))
        pps_admit_close(&conn, PPS_REASON_LISTENER_CLOSED);
    pps_leader_wake(&r->leader);
}

/* A wait told the server of the held one: its accept must not wait for another. */
void pps_acquire_closing(int fd)
{
    for (struct pps_record *r = pps_records; r < pps_records_end(); r++) {
        struct pps_listener l = atomic_load(&r->listener);
        pps_claim claim = atomic_load(&r->held.fd) == fd + 1 ? pps_slot_claim_full(&r->held, l.generation) : 0;
        if (!claim)
            continue;
        pps_usage_pass(&r->usage);
        pps_fd_mark(fd, PPS_FD_UNKNOWN);
        pps_slot_release(&r->held, claim);
    }
    pps_late_closing(fd);
}

bool pps_acquire_is_in_use(const struct pps_listener *l)
{
    const struct pps_record *r = pps_record_of(l);
    return pps_leader_is_in_use(&r->leader) || !pps_slot_is_idle(&r->held) || pps_parked_is_in_use(l);
}

void pps_acquire_after_fork(bool at_once)
{
    for (struct pps_record *r = pps_records; r < pps_records_end(); r++) {
        pps_leader_after_fork(&r->leader);
        pps_usage_after_fork(&r->usage);
        pps_slot_after_fork(&r->held, at_once);
    }
    pps_late_after_fork(at_once);
    pps_parked_after_fork(at_once);
}
