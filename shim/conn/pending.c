/* SPDX-License-Identifier: MIT
 *
 * pending.c: slots, lists in the order of their deadlines, and what an event means (pending.h).
 *
 * A slot's `fd` alone says whether it is taken, and is the last thing set and the first thing cleared: that is all the
 * child of a fork reads. The links are the lock's, and the child forgets them.
 */
#include "events.h"
#include <errno.h>
#include <ppshim/admit.h>
#include <ppshim/deadline.h>
#include <ppshim/header.h>
#include <ppshim/lowat.h>
#include <ppshim/pending.h>
#include <ppshim/real.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#define IDLE_TIMEOUTS 10     /* times PPSHIM_TIMEOUT without a connection, and the epoll goes */
#define TAG_TIMER UINT32_MAX /* in place of a slot's number */

struct slot {
    _Atomic int fd;      /* plus one; 0: free */
    uint32_t next, prev; /* the next younger of its listener, or the next free one, and the next older; plus one */
    uint32_t generation; /* counts the connections this slot has held: tells a late event from a current one */
    struct pps_pending *owner;
    struct pps_lowat wait; /* for the bytes it lacks */
    int flags;             /* accept4 flags it was accepted with */
    struct pps_conn conn;
};
_Static_assert(sizeof(struct slot) <= 256, "the budget of a parked peer");

static struct slot *slots; /* one mapping, made at the first call */
static unsigned slots_size, slots_used, free_slot;

/* Long headers are looked at here; the lock's. */
static uint8_t long_header[PPS_HEADER_MAX];

/* --- slots --- */

static unsigned limit_of(const struct pps_config *config)
{
    struct rlimit numbers = {1024, 1024};
    getrlimit(RLIMIT_NOFILE, &numbers);
    rlim_t quarter = numbers.rlim_cur / 4;
    if (config->max_pending)
        return config->max_pending;
    return quarter < 1024 ? (unsigned)quarter + !quarter : 1024;
}

unsigned pps_pending_limit(const struct pps_config *config)
{
    if (slots)
        return slots_size;
    unsigned limit = limit_of(config);
    void *map =
        mmap(NULL, limit * sizeof *slots, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return 0;
    slots = map;
    return slots_size = limit;
}

bool pps_pending_is_full(void)
{
    return slots && !free_slot && slots_used == slots_size;
}

static struct slot *new_slot(void)
{
    if (free_slot) {
        struct slot *s = &slots[free_slot - 1];
        free_slot = s->next;
        return s;
    }
    return slots_used < slots_size ? &slots[slots_used++] : NULL;
}

static uint32_t number_of(const struct slot *s)
{
    return (uint32_t)(s - slots) + 1;
}

static struct slot *slot_of(uint32_t number)
{
    return number ? &slots[number - 1] : NULL;
}

/* Nearly always the youngest: only the patience with late ones (late.h) may differ. */
static void link_by_arrival(struct pps_pending *p, struct slot *s)
{
    struct slot *older = slot_of(p->newest);
    while (older && older->conn.arrived > s->conn.arrived)
        older = slot_of(older->prev);
    s->prev = older ? number_of(older) : 0;
    s->next = older ? older->next : p->oldest;
    *(s->next ? &slot_of(s->next)->prev : &p->newest) = number_of(s);
    *(older ? &older->next : &p->oldest) = number_of(s);
    atomic_fetch_add(&p->count, 1);
    pps_event_parked(&s->conn);
}

static void unlink_and_free(struct slot *s)
{
    struct pps_pending *p = s->owner;
    atomic_store(&s->fd, 0);
    *(s->prev ? &slot_of(s->prev)->next : &p->oldest) = s->next;
    *(s->next ? &slot_of(s->next)->prev : &p->newest) = s->prev;
    if (atomic_fetch_sub(&p->count, 1) == 1)
        p->empty_since = pps_now();
    pps_event_unparked(&s->conn);
    s->next = free_slot;
    free_slot = number_of(s);
}

/* --- the epoll and its timer --- */

static bool watch(int epoll, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event e = {.events = events, .data.u64 = data};
    return real_epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* Edge-triggered: a low-water mark capped by a small receive buffer, an urgent byte or a FIN would make a level stay.
 */
static bool watch_slot(const struct slot *s)
{
    uint64_t data = (uint64_t)s->generation << 32 | number_of(s);
    return watch(s->owner->epoll - 1, s->conn.fd, EPOLLIN | EPOLLRDHUP | EPOLLET, data);
}

static void set_timer(struct pps_pending *p, uint64_t when)
{
    struct itimerspec at = {.it_value = pps_timespec(when)};
    p->armed = when;
    timerfd_settime(p->timer - 1, TFD_TIMER_ABSTIME, &at, NULL);
}

/* One that is set to an earlier time stays: it is set anew when it fires. */
static void arm(struct pps_pending *p, uint64_t when)
{
    if (!p->armed || when < p->armed)
        set_timer(p, when);
}

static uint64_t deadline_of(const struct slot *s, const struct pps_config *config)
{
    return s->conn.arrived + pps_config_timeout(config);
}

static uint64_t idle_end(const struct pps_pending *p, const struct pps_config *config)
{
    return p->empty_since + IDLE_TIMEOUTS * pps_config_timeout(config);
}

bool pps_pending_watch_timer(struct pps_pending *p, const struct pps_config *config)
{
    if (!watch(p->epoll - 1, p->timer - 1, EPOLLIN, TAG_TIMER))
        return false;
    set_timer(p, p->oldest ? deadline_of(slot_of(p->oldest), config) : idle_end(p, config));
    return true;
}

bool pps_pending_begin(struct pps_pending *p, const struct pps_config *config)
{
    p->empty_since = pps_now();
    for (struct slot *s = slot_of(p->oldest), *next; s; s = next) {
        next = slot_of(s->next);
        if (!pps_conn_is_still(&s->conn) || !watch_slot(s))
            unlink_and_free(s);
    }
    return pps_pending_watch_timer(p, config);
}

/* Closed, no epoll, nothing that an epoll takes, or an epoll that does not know it. */
static bool are_strangers(int error)
{
    return error == EBADF || error == EINVAL || error == EPERM || error == ENOENT;
}

/* An epoll that knows our timer is ours. */
bool pps_pending_is_intact(const struct pps_pending *p)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = TAG_TIMER};
    return p->epoll && (real_epoll_ctl(p->epoll - 1, EPOLL_CTL_MOD, p->timer - 1, &e) == 0 || !are_strangers(errno));
}

void pps_pending_wake(struct pps_pending *p)
{
    set_timer(p, 1);
}

/* --- coming and leaving --- */

/* Before anything else: the entry belongs to the open file, of which a forked child may hold a copy. false: it was not
   in that epoll, which may be ours no more, or its number somebody else's. */
static bool unwatch(const struct slot *s)
{
    return s->owner->epoll && real_epoll_ctl(s->owner->epoll - 1, EPOLL_CTL_DEL, s->conn.fd, NULL) == 0;
}

static void take_out(struct slot *s, struct pps_conn *conn)
{
    *conn = s->conn;
    unwatch(s);
    unlink_and_free(s);
}

bool pps_pending_put(struct pps_pending *p, const struct pps_config *config, const struct pps_conn *conn, int flags)
{
    struct slot *s = new_slot();
    if (!s)
        return false;
    s->generation++;
    s->owner = p;
    s->flags = flags;
    s->conn = *conn;
    pps_lowat_begin(&s->wait, conn->origin.lowat);
    pps_lowat_ask(&s->wait, conn->fd, conn->need); /* if it cannot be, the next look says so */
    link_by_arrival(p, s);
    atomic_store(&s->fd, conn->fd + 1);
    if (!watch_slot(s)) {
        pps_lowat_end(&s->wait, conn->fd);
        unlink_and_free(s);
        return false;
    }
    arm(p, deadline_of(s, config));
    return true;
}

static enum pps_pending_event leave_unwatched(struct slot *s, enum pps_admission a, struct pps_conn *conn, int *flags)
{
    *conn = s->conn;
    *flags = s->flags;
    if (a == PPS_ADMIT_READY)
        pps_lowat_end(&s->wait, s->conn.fd);
    unlink_and_free(s);
    return a == PPS_ADMIT_READY ? PPS_PENDING_READY : PPS_PENDING_GONE;
}

static enum pps_pending_event leave(struct slot *s, enum pps_admission a, struct pps_conn *conn, int *flags)
{
    unwatch(s);
    return leave_unwatched(s, a, conn, flags);
}

enum pps_pending_event pps_pending_overdue(struct pps_pending *p, const struct pps_config *config,
                                           struct pps_conn *conn, int *flags, enum pps_reason *reason)
{
    struct slot *s = slot_of(p->oldest);
    if (!s || deadline_of(s, config) > pps_now())
        return PPS_PENDING_NOTHING;
    if (!pps_conn_is_still(&s->conn)) { /* closed behind our back: its number is not ours to touch */
        unlink_and_free(s);
        return pps_pending_overdue(p, config, conn, flags, reason);
    }
    return leave(s, pps_admit_timeout(&s->conn, config, long_header, sizeof long_header, reason), conn, flags);
}

static enum pps_pending_event timer_fired(struct pps_pending *p, const struct pps_config *config, struct pps_conn *conn,
                                          int *flags, enum pps_reason *reason)
{
    enum pps_pending_event event = pps_pending_overdue(p, config, conn, flags, reason);
    if (event != PPS_PENDING_NOTHING)
        return event;
    if (!p->oldest && idle_end(p, config) <= pps_now())
        return PPS_PENDING_IDLE;
    set_timer(p, p->oldest ? deadline_of(slot_of(p->oldest), config) : idle_end(p, config));
    return PPS_PENDING_NOTHING;
}

static enum pps_pending_event slot_fired(struct slot *s, const struct pps_config *config, uint32_t events,
                                         struct pps_conn *conn, int *flags, enum pps_reason *reason)
{
    enum pps_admission a = pps_admit_progress(&s->conn, config, long_header, sizeof long_header,
                                              events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR), &s->wait, reason);
    return a == PPS_ADMIT_WAIT ? PPS_PENDING_NOTHING : leave(s, a, conn, flags);
}

static enum pps_pending_event one_event(struct pps_pending *p, const struct pps_config *config,
                                        const struct epoll_event *e, struct pps_conn *conn, int *flags,
                                        enum pps_reason *reason)
{
    uint32_t number = (uint32_t)e->data.u64;
    if (number == TAG_TIMER)
        return timer_fired(p, config, conn, flags, reason);
    if (!number || number > slots_used)
        return pps_pending_is_intact(p) ? PPS_PENDING_NOTHING : PPS_PENDING_LOST;
    struct slot *s = slot_of(number);
    if (!atomic_load(&s->fd) || s->owner != p || s->generation != (uint32_t)(e->data.u64 >> 32))
        return PPS_PENDING_NOTHING;
    return slot_fired(s, config, e->events, conn, flags, reason);
}

/* Who waits alone has fired, most likely. To take it out, which it needs anyway, shows that the epoll is ours, and
   saves the question who it was. */
static enum pps_pending_event only_one(struct pps_pending *p, const struct pps_config *config, struct pps_conn *conn,
                                       int *flags, enum pps_reason *reason)
{
    struct slot *s = slot_of(p->oldest);
    if (!s || s->next || deadline_of(s, config) <= pps_now() || !unwatch(s))
        return PPS_PENDING_NOTHING;
    enum pps_admission a =
        pps_admit_progress(&s->conn, config, long_header, sizeof long_header, false, &s->wait, reason);
    if (a == PPS_ADMIT_WAIT && watch_slot(s))
        return PPS_PENDING_NOTHING;
    if (a == PPS_ADMIT_WAIT)
        *reason = PPS_REASON_NO_ROOM;
    return leave_unwatched(s, a, conn, flags);
}

enum pps_pending_event pps_pending_next(struct pps_pending *p, const struct pps_config *config, struct pps_conn *conn,
                                        int *flags, enum pps_reason *reason)
{
    struct epoll_event e;
    enum pps_pending_event event = only_one(p, config, conn, flags, reason);
    int fired = 1;
    while (event == PPS_PENDING_NOTHING && (fired = real_epoll_wait(p->epoll - 1, &e, 1, 0)) == 1)
        event = one_event(p, config, &e, conn, flags, reason);
    return fired < 0 && errno != EINTR ? PPS_PENDING_LOST : event;
}

uint64_t pps_pending_deadline(const struct pps_pending *p, const struct pps_config *config)
{
    return pps_pending_deadline_after(p, config, 0);
}

uint64_t pps_pending_deadline_after(const struct pps_pending *p, const struct pps_config *config, uint64_t after)
{
    for (const struct slot *s = slot_of(p->oldest); s; s = slot_of(s->next))
        if (deadline_of(s, config) > after)
            return deadline_of(s, config);
    return PPS_NEVER;
}

/* A server that wants no connections now finds them when it does: what it lacks is not there. */
static bool is_hopeless(const struct slot *s)
{
    int have = 0;
    return s->conn.trust != PPS_OPTIONAL && ioctl(s->conn.fd, FIONREAD, &have) == 0 && (uint32_t)have < s->conn.need;
}

bool pps_pending_take_hopeless(struct pps_pending *p, const struct pps_config *config, uint64_t now,
                               struct pps_conn *conn)
{
    for (struct slot *s = slot_of(p->oldest); s && deadline_of(s, config) <= now; s = slot_of(s->next))
        if (pps_conn_is_still(&s->conn) && is_hopeless(s)) {
            take_out(s, conn);
            return true;
        }
    return false;
}

bool pps_pending_take_oldest(struct pps_pending *p, struct pps_conn *conn)
{
    struct slot *s = slot_of(p->oldest);
    if (s)
        take_out(s, conn);
    return s;
}

bool pps_pending_take(int fd, struct pps_conn *conn)
{
    for (struct slot *s = slots; s < slots + slots_used; s++)
        if (atomic_load(&s->fd) == fd + 1) {
            take_out(s, conn);
            return true;
        }
    return false;
}

void pps_pending_after_fork(bool at_once, void (*each)(int fd))
{
    for (struct slot *s = slots; s < slots + slots_used; s++) {
        int fd = atomic_load(&s->fd) - 1;
        if (fd >= 0 && (at_once || pps_conn_is_still(&s->conn))) {
            each(fd);
            real_close(fd);
        }
        atomic_store(&s->fd, 0);
    }
    free_slot = slots_used = 0;
}
