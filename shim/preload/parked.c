/* SPDX-License-Identifier: MIT
 *
 * parked.c: slots, the private epolls, deadlines (parked.h).
 *
 * A slot's `fd` alone says whether it is taken, and is the last thing set and the first thing cleared: that is all the
 * child of a fork reads. The links between slots are the guard's, and the child forgets them.
 */
#include <errno.h>
#include <fcntl.h>
#include <ppshim/deadline.h>
#include <ppshim/header.h>
#include <ppshim/interest.h>
#include <ppshim/lock.h>
#include <ppshim/lowat.h>
#include <ppshim/parked.h>
#include <ppshim/real.h>
#include <ppshim/state.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NUMBER_CAP 65536 /* parked numbers stay below: the kernel's descriptor tables grow with the highest one */
#define IDLE_TIMEOUTS 10 /* times PPSHIM_TIMEOUT without a parked connection, and the epoll goes */
#define SPARE_NUMBERS 64 /* room in the band for the epolls and timers themselves */

struct slot {
    _Atomic int fd;        /* of the parked socket, plus one; 0: free */
    uint32_t next;         /* the next younger of its lot, or the next free one; plus one */
    uint32_t prev;         /* the next older */
    uint32_t generation;   /* counts the connections this slot has held: tells a late event from a current one */
    struct pps_lowat wait; /* for the bytes it lacks */
    int flags;             /* accept4 flags it was accepted with */
    bool ready;            /* its time is over and it may leave, once its listener is waited for */
    uint64_t deadline;     /* deadline.h */
    ino_t inode;           /* of the socket, 0: not known */
    struct pps_conn conn;
};
_Static_assert(sizeof(struct slot) <= 256, "the budget of a parked peer");

/* The parked connections of one listener. Descriptors are plus one; 0: none. */
struct lot {
    struct pps_listener listener; /* whose they are: a record can be reused */
    int epoll, timer;             /* what stands in the server's epolls, and its clock */
    int door, bench, baton;  /* see parked.h: the stand; bench and door hold the baton, which shows it to be ours */
    unsigned asleep;         /* threads on the stand */
    bool abandoned;          /* the listener is closed: the last of them closes the stand */
    uint32_t oldest, newest; /* slots, plus one */
    bool idle;               /* the timer is set for the epoll's own end */
    _Atomic unsigned waiting;
};

static struct lot lots[PPS_LISTENERS_MAX];
static unsigned lots_end; /* one more than the highest index ever used */

static struct slot *slots; /* one mapping, made at the first park */
static unsigned slots_size, slots_used, free_slot;
static int band; /* least number of the descriptors we hold */

/* Long headers are looked at here; the guard's. */
static uint8_t long_header[PPS_HEADER_MAX];

#define TAG_TIMER UINT32_MAX /* in place of a slot's number */

/* --- descriptors of ours --- */

/* Moves `fd` up into the band, or leaves it where it is when there is no room; close-on-exec either way. */
static int raise_number(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, band);
    if (high < 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        high = fd;
    } else {
        pps_listener_mark(fd, PPS_FD_UNKNOWN);
        real_close(fd);
    }
    pps_listener_mark(high, PPS_FD_OURS);
    return high;
}

/* The reverse: the lowest free number, as accept would have given. */
static int lower_number(int high, bool cloexec)
{
    int low = fcntl(high, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
    pps_listener_mark(high, PPS_FD_UNKNOWN);
    if (low < 0) {
        fcntl(high, F_SETFD, cloexec ? FD_CLOEXEC : 0);
        return high;
    }
    real_close(high);
    return low;
}

static void drop_descriptor(int *plus_one)
{
    if (!*plus_one)
        return;
    pps_listener_mark(*plus_one - 1, PPS_FD_UNKNOWN);
    real_close(*plus_one - 1);
    *plus_one = 0;
}

/* --- the pool --- */

static unsigned pending_limit(const struct rlimit *numbers)
{
    rlim_t quarter = numbers->rlim_cur / 4;
    if (pps_config.max_pending)
        return pps_config.max_pending;
    return quarter < 1024 ? (unsigned)quarter + !quarter : 1024;
}

static bool have_pool(void)
{
    struct rlimit numbers = {1024, 1024};
    if (slots)
        return true;
    getrlimit(RLIMIT_NOFILE, &numbers);
    unsigned limit = pending_limit(&numbers);
    void *map =
        mmap(NULL, limit * sizeof *slots, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return false;
    int top = numbers.rlim_cur < NUMBER_CAP ? (int)numbers.rlim_cur : NUMBER_CAP;
    int width = limit + SPARE_NUMBERS < (unsigned)top / 2 ? (int)limit + SPARE_NUMBERS : top / 2;
    band = top - width;
    slots_size = limit;
    slots = map;
    return true;
}

/* The least deadline of all lots, but for those that are ready. */
static _Atomic uint64_t soonest = PPS_NEVER;

static struct slot *oldest_not_ready(const struct lot *lot)
{
    uint32_t i = lot->oldest;
    while (i && slots[i - 1].ready)
        i = slots[i - 1].next;
    return i ? &slots[i - 1] : NULL;
}

static void find_soonest(void)
{
    uint64_t least = PPS_NEVER;
    for (const struct lot *lot = lots; lot < lots + lots_end; lot++) {
        const struct slot *s = oldest_not_ready(lot);
        if (s && s->deadline < least)
            least = s->deadline;
    }
    atomic_store(&soonest, least);
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

static void link_youngest(struct lot *lot, struct slot *s)
{
    s->next = 0;
    s->prev = lot->newest;
    if (lot->newest)
        slots[lot->newest - 1].next = number_of(s);
    else
        lot->oldest = number_of(s);
    lot->newest = number_of(s);
    atomic_fetch_add(&lot->waiting, 1);
    if (s->deadline < atomic_load(&soonest))
        atomic_store(&soonest, s->deadline);
}

static void unlink_and_free(struct lot *lot, struct slot *s)
{
    atomic_store(&s->fd, 0);
    *(s->prev ? &slots[s->prev - 1].next : &lot->oldest) = s->next;
    *(s->next ? &slots[s->next - 1].prev : &lot->newest) = s->prev;
    atomic_fetch_sub(&lot->waiting, 1);
    s->next = free_slot;
    free_slot = number_of(s);
    if (s->deadline == atomic_load(&soonest))
        find_soonest();
}

/* --- one lot's epoll --- */

static bool watch(int epoll, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event e = {.events = events, .data.u64 = data};
    return real_epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* Edge-triggered: a low-water mark capped by a small receive buffer, an urgent byte or a FIN would make a level stay.
 */
static bool watch_slot(struct lot *lot, struct slot *s)
{
    uint64_t data = (uint64_t)s->generation << 32 | number_of(s);
    return watch(lot->epoll - 1, s->conn.fd, EPOLLIN | EPOLLRDHUP | EPOLLET, data);
}

static void set_timer(struct lot *lot)
{
    struct itimerspec at = {0};
    lot->idle = !lot->oldest;
    uint64_t when =
        lot->idle ? pps_now() + IDLE_TIMEOUTS * pps_config_timeout(&pps_config) : slots[lot->oldest - 1].deadline;
    at.it_value = pps_timespec(when);
    timerfd_settime(lot->timer - 1, TFD_TIMER_ABSTIME, &at, NULL);
}

static void close_stand(struct lot *lot)
{
    drop_descriptor(&lot->door);
    drop_descriptor(&lot->bench);
    drop_descriptor(&lot->baton);
}

static void close_epoll(struct lot *lot)
{
    if (lot->epoll && pps_watch_private(&lot->listener) >= 0)
        pps_watch_attach(&lot->listener, -1);
    drop_descriptor(&lot->epoll);
    drop_descriptor(&lot->timer);
}

static bool open_descriptor(int *plus_one, int fd)
{
    if (fd >= 0)
        *plus_one = raise_number(fd) + 1;
    return fd >= 0;
}

/* Never written to otherwise: its number may be the server's by now, closed by a raw system call. */
static bool baton_is_ours(const struct lot *lot)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = PPS_DOOR_BATON};
    return lot->bench && lot->baton && real_epoll_ctl(lot->bench - 1, EPOLL_CTL_MOD, lot->baton - 1, &e) == 0;
}

/* Only for threads that block in accept: a server that polls never has them. */
static bool have_baton(struct lot *lot)
{
    if (baton_is_ours(lot))
        return true;
    lot->door = lot->bench = lot->baton = 0;
    bool ok = open_descriptor(&lot->baton, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) &&
              open_descriptor(&lot->bench, epoll_create1(EPOLL_CLOEXEC)) &&
              watch(lot->bench - 1, lot->baton - 1, EPOLLIN, PPS_DOOR_BATON);
    if (!ok)
        close_stand(lot);
    return ok;
}

static bool have_door(struct lot *lot)
{
    if (lot->door)
        return true;
    bool ok = open_descriptor(&lot->door, epoll_create1(EPOLL_CLOEXEC)) &&
              watch(lot->door - 1, lot->baton - 1, EPOLLIN, PPS_DOOR_BATON) &&
              watch(lot->door - 1, lot->epoll - 1, EPOLLIN, PPS_DOOR_PARKED);
    if (!ok)
        drop_descriptor(&lot->door);
    return ok;
}

static ino_t inode_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) ? st.st_ino : 0;
}

/* Behind our back, by raw system calls or in a child that ran before we could clean up, the number may have become
   somebody else's. */
static bool still_holds(int fd, const struct slot *s)
{
    return s->inode && inode_of(fd) == s->inode;
}

/* All that is parked, but for sockets that are no longer there. */
static void watch_all(struct lot *lot)
{
    for (uint32_t i = lot->oldest, next; i; i = next) {
        struct slot *s = &slots[i - 1];
        next = s->next;
        if (!still_holds(s->conn.fd, s) || !watch_slot(lot, s))
            unlink_and_free(lot, s);
    }
}

/* A new epoll with all that is parked in it. */
static bool open_epoll(struct lot *lot)
{
    bool ok = open_descriptor(&lot->epoll, epoll_create1(EPOLL_CLOEXEC)) &&
              open_descriptor(&lot->timer, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) &&
              watch(lot->epoll - 1, lot->timer - 1, EPOLLIN, TAG_TIMER) &&
              (!lot->door || watch(lot->door - 1, lot->epoll - 1, EPOLLIN, PPS_DOOR_PARKED));
    if (!ok) {
        close_epoll(lot);
        return false;
    }
    watch_all(lot);
    set_timer(lot);
    pps_watch_attach(&lot->listener, lot->epoll - 1);
    return true;
}

/* Servers close numbers they do not know, also by raw system calls, and may have reused them since: an epoll that knows
   our timer is ours. */
static bool epoll_is_ours(const struct lot *lot)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = TAG_TIMER};
    return lot->epoll && lot->timer && real_epoll_ctl(lot->epoll - 1, EPOLL_CTL_MOD, lot->timer - 1, &e) == 0;
}

/* Forgets, without touching them, descriptors that are no longer ours. */
static void forget_descriptors(struct lot *lot)
{
    lot->epoll = lot->timer = lot->door = lot->bench = lot->baton = 0;
}

static void forget_lost(struct lot *lot)
{
    if (!lot->epoll || epoll_is_ours(lot))
        return;
    pps_watch_lost(&lot->listener);
    forget_descriptors(lot);
}

static bool have_epoll(struct lot *lot)
{
    forget_lost(lot);
    return lot->epoll || open_epoll(lot);
}

/* --- leaving --- */

/* Out of the epoll before anything else: the entry belongs to the open file, of which a forked child may hold a copy.
 */
static void take_out(struct lot *lot, struct slot *s, struct pps_conn *conn)
{
    *conn = s->conn;
    if (lot->epoll)
        real_epoll_ctl(lot->epoll - 1, EPOLL_CTL_DEL, conn->fd, NULL);
    unlink_and_free(lot, s);
}

static void take_out_gone(struct lot *lot, struct slot *s, struct pps_conn *conn)
{
    take_out(lot, s, conn);
    pps_listener_mark(conn->fd, PPS_FD_UNKNOWN); /* the caller closes it */
}

/* Everything as if accept4(flags) had returned it just now. */
static void take_out_ready(struct lot *lot, struct slot *s, int flags, struct pps_conn *conn)
{
    int parked_flags = s->flags;
    pps_lowat_end(&s->wait, s->conn.fd);
    take_out(lot, s, conn);
    conn->fd = lower_number(conn->fd, flags & SOCK_CLOEXEC);
    if ((flags ^ parked_flags) & SOCK_NONBLOCK)
        fcntl(conn->fd, F_SETFL, fcntl(conn->fd, F_GETFL) ^ O_NONBLOCK);
}

/* Threads asleep on what is about to be closed must look again. */
static void wake_all(const struct lot *lot)
{
    if (baton_is_ours(lot))
        eventfd_write(lot->baton - 1, 1);
}

/* What is no longer ours, closed by raw system calls, is let be. */
static void abandon(struct lot *lot)
{
    forget_lost(lot);
    wake_all(lot);
    struct pps_conn conn;
    while (lot->oldest) {
        struct slot *s = &slots[lot->oldest - 1];
        if (!still_holds(s->conn.fd, s)) {
            unlink_and_free(lot, s);
            continue;
        }
        take_out_gone(lot, s, &conn);
        pps_admit_close(&conn, PPS_REASON_LISTENER_CLOSED);
    }
    close_epoll(lot);
    lot->abandoned = true;
    if (!lot->asleep)
        close_stand(lot);
}

/* The lot of this very listener: what an earlier one left in the record is let go. NULL when the listener itself is the
   earlier one: somebody slept while it was closed and its record used again. */
static struct lot *lot_of(const struct pps_listener *l)
{
    struct lot *lot = &lots[l->index];
    if (pps_listener_is_older(l, lot->listener.generation))
        return NULL;
    if (!pps_listener_same(&lot->listener, l)) {
        if (lot->listener.generation)
            abandon(lot);
        lot->listener = *l;
        lot->abandoned = false;
    }
    if (lots_end <= l->index)
        lots_end = l->index + 1u;
    return lot;
}

/* --- moving on --- */

static enum pps_park_event leave(enum pps_admission a, struct lot *lot, struct slot *s, int flags,
                                 struct pps_conn *conn)
{
    if (a == PPS_ADMIT_READY) {
        take_out_ready(lot, s, flags, conn);
        return PPS_PARK_READY;
    }
    take_out_gone(lot, s, conn);
    return PPS_PARK_GONE;
}

static enum pps_park_event timer_fired(struct lot *lot, int flags, struct pps_conn *conn, enum pps_reason *reason)
{
    struct slot *s = lot->oldest ? &slots[lot->oldest - 1] : NULL;
    if (!s && lot->idle) {
        close_epoll(lot);
        return PPS_PARK_NOTHING;
    }
    if (!s || s->deadline > pps_now()) {
        set_timer(lot);
        return PPS_PARK_NOTHING;
    }
    enum pps_admission a =
        s->ready ? PPS_ADMIT_READY : pps_admit_timeout(&s->conn, long_header, sizeof long_header, reason);
    return leave(a, lot, s, flags, conn);
}

static enum pps_park_event slot_fired(struct lot *lot, struct slot *s, uint32_t events, int flags,
                                      struct pps_conn *conn, enum pps_reason *reason)
{
    enum pps_admission a =
        s->ready ? PPS_ADMIT_READY : pps_admit_look(&s->conn, long_header, sizeof long_header, reason);
    if (a != PPS_ADMIT_WAIT)
        return leave(a, lot, s, flags, conn);
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) { /* all that will ever come is here */
        *reason = s->conn.have ? PPS_REASON_PEER_LEFT : PPS_REASON_NONE;
        return leave(PPS_ADMIT_GONE, lot, s, flags, conn);
    }
    if (pps_lowat_ask(&s->wait, s->conn.fd, s->conn.need))
        return PPS_PARK_NOTHING;
    *reason = PPS_REASON_HEADER_STUCK;
    return leave(PPS_ADMIT_GONE, lot, s, flags, conn);
}

static enum pps_park_event one_event(struct lot *lot, const struct epoll_event *e, int flags, struct pps_conn *conn,
                                     enum pps_reason *reason)
{
    uint32_t number = (uint32_t)e->data.u64;
    if (number == TAG_TIMER)
        return timer_fired(lot, flags, conn, reason);
    struct slot *s = &slots[number - 1];
    if (!atomic_load(&s->fd) || s->generation != (uint32_t)(e->data.u64 >> 32))
        return PPS_PARK_NOTHING;
    return slot_fired(lot, s, e->events, flags, conn, reason);
}

static enum pps_park_event until_one_leaves(struct lot *lot, int flags, struct pps_conn *conn, enum pps_reason *reason)
{
    struct epoll_event e;
    enum pps_park_event result = PPS_PARK_NOTHING;
    if ((!lot->epoll && !atomic_load(&lot->waiting)) || !have_epoll(lot))
        return PPS_PARK_NOTHING;
    while (result == PPS_PARK_NOTHING && real_epoll_wait(lot->epoll - 1, &e, 1, 0) == 1)
        result = one_event(lot, &e, flags, conn, reason);
    return result;
}

static bool park(struct pps_conn *conn, int flags)
{
    struct lot *lot = lot_of(&conn->listener);
    struct slot *s = NULL;
    if (lot && have_pool() && have_epoll(lot))
        s = new_slot();
    if (!s)
        return false;
    conn->fd = raise_number(conn->fd);
    s->generation++;
    pps_lowat_begin(&s->wait, conn->fd);
    s->flags = flags;
    s->ready = false;
    s->inode = inode_of(conn->fd);
    s->deadline = pps_now() + pps_config_timeout(&pps_config);
    s->conn = *conn;
    pps_lowat_ask(&s->wait, conn->fd, conn->need); /* if it cannot be, the next look says so */
    link_youngest(lot, s);
    atomic_store(&s->fd, conn->fd + 1);
    if (!watch_slot(lot, s)) {
        take_out_gone(lot, s, conn);
        return false;
    }
    if (lot->oldest == number_of(s))
        set_timer(lot);
    return true;
}

static struct lot *lot_with_oldest(void)
{
    struct lot *found = NULL;
    for (struct lot *lot = lots; lot < lots + lots_end; lot++)
        if (lot->oldest && (!found || slots[lot->oldest - 1].deadline < slots[found->oldest - 1].deadline))
            found = lot;
    return found;
}

/* --- what others call --- */

unsigned pps_park_waiting(const struct pps_listener *l)
{
    return atomic_load(&lots[l->index].waiting);
}

bool pps_park_put(struct pps_conn *conn, int flags, enum pps_reason *why)
{
    struct pps_guard g;
    *why = PPS_REASON_NO_ROOM;
    if (!pps_process_is_owner())
        return false;
    pps_guard_enter(&g);
    bool open = pps_listener_is_open(&conn->listener), parked = open && park(conn, flags);
    if (!open)
        *why = PPS_REASON_LISTENER_CLOSED;
    pps_guard_leave(&g);
    return parked;
}

enum pps_park_event pps_park_next(const struct pps_listener *l, int flags, struct pps_conn *conn,
                                  enum pps_reason *reason)
{
    struct pps_guard g;
    if (!pps_process_is_owner())
        return PPS_PARK_NOTHING;
    pps_guard_enter(&g);
    struct lot *lot = lot_of(l);
    enum pps_park_event event = lot ? until_one_leaves(lot, flags, conn, reason) : PPS_PARK_NOTHING;
    pps_guard_leave(&g);
    return event;
}

bool pps_park_full(void)
{
    struct pps_guard g;
    pps_guard_enter(&g);
    bool full = slots && !free_slot && slots_used == slots_size;
    pps_guard_leave(&g);
    return full;
}

bool pps_park_evict(struct pps_conn *conn)
{
    struct pps_guard g;
    if (!pps_process_is_owner())
        return false;
    pps_guard_enter(&g);
    struct lot *lot = lot_with_oldest();
    if (lot)
        take_out_gone(lot, &slots[lot->oldest - 1], conn);
    pps_guard_leave(&g);
    return lot;
}

/* One whose time is over, of whichever listener, and that is of no use. */
static bool expire(struct pps_conn *conn, enum pps_reason *reason)
{
    uint64_t now = pps_now();
    for (struct lot *lot = lots; lot < lots + lots_end; lot++) {
        struct slot *s;
        while ((s = oldest_not_ready(lot)) && s->deadline <= now) {
            s->ready = pps_admit_timeout(&s->conn, long_header, sizeof long_header, reason) == PPS_ADMIT_READY;
            if (s->ready)
                continue;
            take_out_gone(lot, s, conn);
            return true;
        }
    }
    find_soonest();
    return false;
}

bool pps_park_expire(struct pps_conn *conn, enum pps_reason *reason)
{
    struct pps_guard g;
    if (!pps_process_is_owner())
        return false;
    pps_guard_enter(&g);
    bool expired = expire(conn, reason);
    pps_guard_leave(&g);
    return expired;
}

uint64_t pps_park_soonest(void)
{
    return atomic_load(&soonest);
}

static bool lie_down(struct lot *lot, struct pps_park_stand *stand)
{
    bool parked = atomic_load(&lot->waiting);
    if (lot->abandoned || !have_pool() || !have_baton(lot) || (parked && !(have_epoll(lot) && have_door(lot))))
        return false;
    *stand = (struct pps_park_stand){parked ? lot->door - 1 : -1, lot->bench - 1};
    lot->asleep++;
    return true;
}

bool pps_park_lie_down(const struct pps_listener *l, struct pps_park_stand *stand)
{
    struct pps_guard g;
    if (!pps_process_is_owner())
        return false;
    pps_guard_enter(&g);
    struct lot *lot = lot_of(l);
    bool down = lot && lie_down(lot, stand);
    pps_guard_leave(&g);
    return down;
}

void pps_park_get_up(const struct pps_listener *l)
{
    struct pps_guard g;
    pps_guard_enter(&g);
    struct lot *lot = &lots[l->index];
    bool last = lot->asleep && !--lot->asleep; /* 0: in the child of a fork, that returned into the sleep */
    if (last && lot->abandoned)
        close_stand(lot);
    pps_guard_leave(&g);
}

/* Passes the baton, or takes it, if it is still this listener's. One of a closed listener lies there for all. */
static void move_baton(const struct pps_listener *l, bool pass)
{
    struct pps_guard g;
    eventfd_t one;
    pps_guard_enter(&g);
    const struct lot *lot = &lots[l->index];
    if (!lot->abandoned && baton_is_ours(lot) && pps_listener_same(&lot->listener, l)) {
        if (pass)
            eventfd_write(lot->baton - 1, 1);
        else
            eventfd_read(lot->baton - 1, &one);
    }
    pps_guard_leave(&g);
}

void pps_park_pass_baton(const struct pps_listener *l)
{
    move_baton(l, true);
}

void pps_park_take_baton(const struct pps_listener *l)
{
    move_baton(l, false);
}

void pps_park_prepare(const struct pps_listener *l)
{
    struct pps_guard g;
    if (!pps_process_is_owner())
        return;
    pps_guard_enter(&g);
    struct lot *lot = lot_of(l);
    if (lot && have_pool())
        have_epoll(lot);
    pps_guard_leave(&g);
}

void pps_park_idle(const struct pps_listener *l)
{
    struct pps_guard g;
    struct pps_conn none;
    enum pps_reason reason;
    if (!pps_process_is_owner())
        return;
    pps_guard_enter(&g);
    struct lot *lot = lot_of(l);
    if (lot && !lot->oldest)
        until_one_leaves(lot, 0, &none, &reason);
    pps_guard_leave(&g);
}

/* --- the server closes one of ours --- */

/* Another number for what is still open under this one. */
static bool move_number(int *plus_one)
{
    int high = fcntl(*plus_one - 1, F_DUPFD_CLOEXEC, band);
    if (high < 0)
        return false;
    pps_listener_mark(high, PPS_FD_OURS);
    *plus_one = high + 1;
    return true;
}

/* An epoll knows what it holds by its number, too. */
static void watch_moved(int epoll_plus_one, int old, int new, uint64_t data)
{
    if (!epoll_plus_one)
        return;
    real_epoll_ctl(epoll_plus_one - 1, EPOLL_CTL_DEL, old, NULL);
    watch(epoll_plus_one - 1, new, EPOLLIN, data);
}

static bool move_epoll(struct lot *lot)
{
    int old = lot->epoll - 1;
    if (!epoll_is_ours(lot))
        return false;
    pps_watch_attach(&lot->listener, -1);
    bool moved = move_number(&lot->epoll);
    if (moved)
        watch_moved(lot->door, old, lot->epoll - 1, PPS_DOOR_PARKED);
    pps_watch_attach(&lot->listener, lot->epoll - 1);
    return moved;
}

static bool move_timer(struct lot *lot)
{
    int old = lot->timer - 1;
    if (!epoll_is_ours(lot) || !move_number(&lot->timer))
        return false;
    watch_moved(lot->epoll, old, lot->timer - 1, TAG_TIMER);
    return true;
}

static bool move_baton_number(struct lot *lot)
{
    int old = lot->baton - 1;
    if (!move_number(&lot->baton))
        return false;
    watch_moved(lot->bench, old, lot->baton - 1, PPS_DOOR_BATON);
    watch_moved(lot->door, old, lot->baton - 1, PPS_DOOR_BATON);
    return true;
}

/* Threads may be asleep on it, and would not be woken by another that is made in its place. */
static bool move_companion(struct lot *lot, int fd)
{
    if (lot->epoll == fd + 1)
        return move_epoll(lot);
    if (lot->timer == fd + 1)
        return move_timer(lot);
    if (!baton_is_ours(lot))
        return false;
    if (lot->baton == fd + 1)
        return move_baton_number(lot);
    return move_number(lot->door == fd + 1 ? &lot->door : &lot->bench);
}

/* An epoll and its companions go together, and are made anew when needed. */
static void give_up_companions(struct lot *lot, int *closing)
{
    wake_all(lot);
    pps_watch_attach(&lot->listener, -1);
    *closing = 0;
    close_epoll(lot);
    close_stand(lot);
}

/* The caller closes `fd` itself. */
static bool closing_companion(struct lot *lot, int fd, bool alone)
{
    int *held[] = {&lot->epoll, &lot->timer, &lot->door, &lot->bench, &lot->baton};
    for (unsigned i = 0; i < sizeof held / sizeof *held; i++) {
        if (*held[i] != fd + 1)
            continue;
        if (!alone || !move_companion(lot, fd))
            give_up_companions(lot, held[i]);
        return true;
    }
    return false;
}

void pps_park_closing(int fd, bool alone)
{
    struct pps_conn lost;
    for (struct lot *lot = lots; lot < lots + lots_end; lot++)
        if (closing_companion(lot, fd, alone))
            return;
    for (struct slot *s = slots; s < slots + slots_used; s++)
        if (atomic_load(&s->fd) == fd + 1)
            take_out(&lots[s->conn.listener.index], s, &lost);
}

void pps_park_abandon(const struct pps_listener *l)
{
    if (pps_listener_same(&lots[l->index].listener, l))
        abandon(&lots[l->index]);
}

/* --- after fork --- */

void pps_park_after_fork(bool at_once)
{
    for (struct lot *lot = lots; lot < lots + lots_end; lot++) {
        pps_watch_lost(&lot->listener); /* what stands in the server's epolls is the parent's */
        lot->asleep = 0;
        if (at_once || epoll_is_ours(lot)) {
            close_epoll(lot);
            close_stand(lot);
        }
        forget_descriptors(lot);
        lot->oldest = lot->newest = 0;
        atomic_store(&lot->waiting, 0);
    }
    for (struct slot *s = slots; s < slots + slots_used; s++) {
        int fd = atomic_load(&s->fd) - 1;
        if (fd < 0)
            continue;
        if (at_once || still_holds(fd, s)) {
            pps_listener_mark(fd, PPS_FD_UNKNOWN);
            real_close(fd);
        }
        atomic_store(&s->fd, 0);
    }
    free_slot = slots_used = 0;
    atomic_store(&soonest, PPS_NEVER);
}
