/* SPDX-License-Identifier: MIT
 *
 * parked.c: see parked.h.
 */
#include "parked.h"
#include "interest.h"
#include "lock.h"
#include "own_fds.h"
#include "record.h"
#include "state.h"
#include <ppshim/deadline.h>
#include <ppshim/real.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

/* Who watches it gets so much time beyond the deadline before others see to it. */
#define GRACE (PPS_SECOND / 20)

static _Atomic uint64_t due = PPS_NEVER;

/* --- the private epoll; the lock is held --- */

static void close_epoll(struct pps_record *r)
{
    struct pps_listener l = atomic_load(&r->listener);
    if (r->parked.pending.epoll)
        pps_interest_attach(&l, -1);
    pps_own_fd_close(&r->parked.pending.epoll);
    pps_own_fd_close(&r->parked.pending.timer);
    pps_own_fd_close(&r->parked.door);
}

/* Forgets, without touching them, descriptors that are no longer ours. */
static void forget_epoll(struct pps_record *r)
{
    struct pps_listener l = atomic_load(&r->listener);
    pps_interest_lost(&l);
    r->parked.pending.epoll = r->parked.pending.timer = r->parked.door = 0;
}

static bool open_epoll(struct pps_record *r, const struct pps_listener *l)
{
    struct pps_pending *p = &r->parked.pending;
    if (!pps_own_fd_open(&p->epoll, epoll_create1(EPOLL_CLOEXEC)) ||
        !pps_own_fd_open(&p->timer, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) ||
        !pps_pending_begin(p, &pps_config)) {
        close_epoll(r);
        return false;
    }
    pps_interest_attach(l, p->epoll - 1);
    return true;
}

static bool have_epoll(struct pps_record *r, const struct pps_listener *l)
{
    unsigned limit = pps_pending_limit(&pps_config);
    if (!limit)
        return false;
    if (pps_pending_is_intact(&r->parked.pending))
        return true;
    pps_own_fds_reserve(limit);
    if (r->parked.pending.epoll)
        forget_epoll(r);
    return open_epoll(r, l);
}

/* --- when somebody is overdue; the lock is held --- */

static void note_due(uint64_t deadline)
{
    if (deadline != PPS_NEVER && deadline + GRACE < atomic_load(&due))
        atomic_store(&due, deadline + GRACE);
}

/* --- coming and leaving; the lock is held --- */

static bool put(struct pps_record *r, const struct pps_listener *l, struct pps_conn *conn, int flags)
{
    struct pps_pending *p = &r->parked.pending;
    if (!pps_listener_is_open(l) || (!p->epoll && !have_epoll(r, l)) || !pps_interest_announces(l))
        return false;
    conn->fd = pps_own_fd_raise(conn->fd);
    /* What is no epoll of ours any more refuses: one of the server's would have to be put up there on purpose. */
    if (!pps_pending_put(p, &pps_config, conn, flags) &&
        !(have_epoll(r, l) && pps_pending_put(p, &pps_config, conn, flags))) {
        pps_fd_mark(conn->fd, PPS_FD_UNKNOWN);
        return false;
    }
    note_due(pps_pending_deadline(&r->parked.pending, &pps_config));
    return true;
}

/* As if accept4 had returned it just now. */
static void hand_over(struct pps_conn *conn, int before, int wanted)
{
    conn->fd = pps_own_fd_lower(conn->fd, wanted & SOCK_CLOEXEC);
    pps_conn_set_flags(conn, (before & SOCK_NONBLOCK) | (wanted & SOCK_CLOEXEC), wanted);
}

static enum pps_pending_event next(struct pps_record *r, const struct pps_listener *l, int flags, struct pps_conn *conn,
                                   enum pps_reason *reason)
{
    int before;
    enum pps_pending_event event = pps_pending_next(&r->parked.pending, &pps_config, conn, &before, reason);
    switch (event) {
    case PPS_PENDING_READY:
        hand_over(conn, before, flags);
        break;
    case PPS_PENDING_GONE:
        pps_fd_mark(conn->fd, PPS_FD_UNKNOWN);
        break;
    case PPS_PENDING_IDLE:
        close_epoll(r);
        return PPS_PENDING_NOTHING;
    case PPS_PENDING_LOST:
        return have_epoll(r, l) ? next(r, l, flags, conn, reason) : PPS_PENDING_NOTHING;
    case PPS_PENDING_NOTHING:
        break;
    }
    return event;
}

/* Of all records the one whose oldest has waited longest. */
static struct pps_record *record_with_oldest(void)
{
    struct pps_record *found = NULL;
    uint64_t least = PPS_NEVER;
    for (struct pps_record *r = pps_records; r < pps_records_end(); r++) {
        uint64_t deadline = pps_pending_deadline(&r->parked.pending, &pps_config);
        if (deadline < least) {
            least = deadline;
            found = r;
        }
    }
    return found;
}

/* Before what is parked is touched without an event that proves it is ours. */
static void notice_loss(struct pps_record *r)
{
    if (r->parked.pending.epoll && !pps_pending_is_intact(&r->parked.pending))
        forget_epoll(r);
}

static bool take_oldest(struct pps_record *r, struct pps_conn *conn)
{
    notice_loss(r);
    while (pps_pending_take_oldest(&r->parked.pending, conn)) {
        if (!pps_conn_is_still(conn)) /* closed behind our back, and somebody else's */
            continue;
        pps_fd_mark(conn->fd, PPS_FD_UNKNOWN);
        return true;
    }
    return false;
}

/* --- what others call --- */

unsigned pps_parked_count(const struct pps_listener *l)
{
    struct pps_record *r = pps_record_of(l);
    unsigned count = atomic_load(&r->parked.pending.count);
    return count && pps_record_is_of(r, l) ? count : 0;
}

bool pps_parked_put(const struct pps_listener *l, struct pps_conn *conn, int flags)
{
    struct pps_lock lock;
    pps_lock_enter(&lock);
    bool parked = put(pps_record_of(l), l, conn, flags);
    pps_lock_leave(&lock);
    return parked;
}

enum pps_pending_event pps_parked_next(const struct pps_listener *l, int flags, struct pps_conn *conn,
                                       enum pps_reason *reason)
{
    struct pps_lock lock;
    struct pps_record *r = pps_record_of(l);
    enum pps_pending_event event = PPS_PENDING_NOTHING;
    if (pps_interest_private(l) < 0)
        return event;
    pps_lock_enter(&lock);
    if (pps_record_is_of(r, l) && r->parked.pending.epoll)
        event = next(r, l, flags, conn, reason);
    pps_lock_leave(&lock);
    return event;
}

bool pps_parked_is_full(void)
{
    struct pps_lock lock;
    pps_lock_enter(&lock);
    bool full = pps_pending_is_full();
    pps_lock_leave(&lock);
    return full;
}

bool pps_parked_evict(struct pps_conn *conn)
{
    struct pps_lock lock;
    pps_lock_enter(&lock);
    struct pps_record *r = record_with_oldest();
    bool taken = r && take_oldest(r, conn);
    pps_lock_leave(&lock);
    return taken;
}

void pps_parked_check(const struct pps_listener *l)
{
    if (pps_parked_count(l))
        pps_parked_prepare(l);
}

void pps_parked_prepare(const struct pps_listener *l)
{
    struct pps_lock lock;
    pps_lock_enter(&lock);
    if (pps_listener_is_open(l))
        have_epoll(pps_record_of(l), l);
    pps_lock_leave(&lock);
}

static bool watch(int epoll, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event e = {.events = events, .data.u64 = data};
    return real_epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* For good, as long as there is a private epoll: each sleep costs one call then. */
static int open_door(struct pps_record *r, int listener_fd)
{
    int *door = &r->parked.door;
    if (*door)
        return *door - 1;
    if (!pps_own_fd_open(door, epoll_create1(EPOLL_CLOEXEC)))
        return -1;
    if (!watch(*door - 1, r->parked.pending.epoll - 1, EPOLLIN, PPS_DOOR_PARKED) ||
        !watch(*door - 1, listener_fd, EPOLLIN | EPOLLEXCLUSIVE, PPS_DOOR_LISTENER))
        pps_own_fd_close(door);
    return *door - 1;
}

int pps_parked_door(const struct pps_listener *l, int listener_fd)
{
    struct pps_lock lock;
    struct pps_record *r = pps_record_of(l);
    pps_lock_enter(&lock);
    int door = pps_listener_is_open(l) && have_epoll(r, l) ? open_door(r, listener_fd) : -1;
    pps_lock_leave(&lock);
    return door;
}

uint64_t pps_parked_due(void)
{
    return atomic_load_explicit(&due, memory_order_relaxed);
}

bool pps_parked_expire(struct pps_conn *conn)
{
    struct pps_lock lock;
    bool taken = false;
    uint64_t now = pps_now();
    pps_lock_enter(&lock);
    atomic_store(&due, PPS_NEVER);
    for (struct pps_record *r = pps_records; r < pps_records_end() && !taken; r++)
        taken = pps_pending_take_hopeless(&r->parked.pending, &pps_config, now - GRACE, conn);
    if (taken)
        pps_fd_mark(conn->fd, PPS_FD_UNKNOWN);
    for (struct pps_record *r = pps_records; r < pps_records_end(); r++)
        note_due(pps_pending_deadline_after(&r->parked.pending, &pps_config, taken ? 0 : now - GRACE));
    pps_lock_leave(&lock);
    return taken;
}

bool pps_parked_abandon(const struct pps_listener *l, struct pps_conn *conn)
{
    struct pps_lock lock;
    struct pps_record *r = pps_record_of(l);
    pps_lock_enter(&lock);
    bool mine = pps_record_is_of(r, l), taken = mine && take_oldest(r, conn);
    if (mine && !taken && pps_leader_is_watching(&r->leader) && r->parked.pending.epoll)
        pps_pending_wake(&r->parked.pending);
    else if (mine && !taken)
        close_epoll(r);
    pps_lock_leave(&lock);
    return taken;
}

bool pps_parked_is_in_use(const struct pps_listener *l)
{
    const struct pps_record *r = pps_record_of(l);
    return pps_record_is_of(r, l) && (r->parked.pending.oldest || r->parked.pending.epoll);
}

/* A leader may sleep on the one that goes, and hears of the new one by the timer, which is in both. */
static void renew_epoll(struct pps_record *r, const struct pps_listener *l)
{
    struct pps_pending *p = &r->parked.pending;
    pps_interest_attach(l, -1);
    p->epoll = 0;
    pps_own_fd_close(&r->parked.door);
    if (!p->oldest || !pps_own_fd_open(&p->epoll, epoll_create1(EPOLL_CLOEXEC)) || !pps_pending_begin(p, &pps_config)) {
        close_epoll(r);
        return;
    }
    pps_interest_attach(l, p->epoll - 1);
    pps_pending_wake(p);
}

static void renew_timer(struct pps_record *r)
{
    struct pps_pending *p = &r->parked.pending;
    if (!pps_own_fd_open(&p->timer, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) ||
        !pps_pending_watch_timer(p, &pps_config))
        close_epoll(r);
}

/* The caller closes `fd` itself. */
static bool closing_companion(struct pps_record *r, int fd)
{
    struct pps_pending *p = &r->parked.pending;
    struct pps_listener l = atomic_load(&r->listener);
    if (r->parked.door == fd + 1)
        r->parked.door = 0;
    else if (p->timer == fd + 1)
        renew_timer(r);
    else if (p->epoll == fd + 1)
        renew_epoll(r, &l);
    else
        return false;
    pps_fd_mark(fd, PPS_FD_UNKNOWN);
    return true;
}

void pps_parked_closing(int fd)
{
    struct pps_conn lost;
    for (struct pps_record *r = pps_records; r < pps_records_end(); r++)
        if (closing_companion(r, fd))
            return;
    if (pps_pending_take(fd, &lost))
        pps_fd_mark(fd, PPS_FD_UNKNOWN);
}

/* --- after fork --- */

static void forget_number(int fd)
{
    pps_fd_mark(fd, PPS_FD_UNKNOWN);
}

void pps_parked_after_fork(bool at_once)
{
    for (struct pps_record *r = pps_records; r < pps_records_end(); r++) {
        struct pps_pending *p = &r->parked.pending;
        struct pps_listener l = atomic_load(&r->listener);
        pps_interest_lost(&l); /* what stands in the server's epolls is the parent's */
        if (p->epoll && (at_once || pps_pending_is_intact(p)))
            close_epoll(r);
        forget_epoll(r);
        p->oldest = p->newest = 0;
        atomic_store(&p->count, 0);
    }
    pps_pending_after_fork(at_once, forget_number);
    atomic_store(&due, PPS_NEVER);
}
