/* SPDX-License-Identifier: MIT
 *
 * interest.c: registrations of governed listeners in the server's epolls (interest.h).
 *
 * Every field that a look-up reads is an atomic. Registrations are chained by their epoll's number and never leave
 * their chain, so that a look-up needs no lock; one that is free is used again in the same chain. Descriptors in here
 * are the server's: before an epoll is touched on our own account it is asked whether it still holds the listener, so
 * that a number reused behind our back is left alone.
 */
#include "interest.h"
#include "fdinfo.h"
#include "lock.h"
#include "record.h"
#include <errno.h>
#include <fcntl.h>
#include <ppshim/real.h>

#define CHAINS 256             /* a power of two */
#define REGISTRATIONS_MAX 4096 /* beyond: the server's wait shows the kernel's own readiness */
#define NUMBERS_ADOPTED 256

enum state {
    ARMED,
    OWED,      /* an event is to be told that the kernel will not tell again */
    SPENT,     /* EPOLLONESHOT, told */
    AMBIGUOUS, /* another descriptor in this epoll has the same data */
};

static struct registration {
    unsigned next;    /* in its chain, plus one; set once */
    _Atomic int epfd; /* plus one; 0: free */
    _Atomic int fd;   /* plus one; 0: the server removed it, and may add it again */
    _Atomic(struct pps_listener) listener;
    _Atomic uint32_t events;
    _Atomic uint64_t data;
    _Atomic int state;
    atomic_bool unclear; /* whether it is AMBIGUOUS was not asked yet */
    bool beside;         /* the private epoll is in there too; the lock's */
} registrations[REGISTRATIONS_MAX];
static _Atomic unsigned chains[CHAINS]; /* plus one */
static _Atomic unsigned registrations_end;

static struct registration *numbered(unsigned plus_one)
{
    return plus_one ? &registrations[plus_one - 1] : NULL;
}

static _Atomic unsigned *chain_of(int epfd)
{
    return &chains[(unsigned)epfd % CHAINS];
}

static struct registration *first(int epfd)
{
    return numbered(atomic_load(chain_of(epfd)));
}

static struct registration *after(const struct registration *r)
{
    return numbered(r->next);
}

static struct registration *end(void)
{
    return registrations + atomic_load(&registrations_end);
}

static bool is_of(const struct registration *r, const struct pps_listener *l)
{
    struct pps_listener its = atomic_load(&r->listener);
    return atomic_load(&r->epfd) && pps_listener_same(&its, l);
}

static bool is_live(const struct registration *r)
{
    return atomic_load(&r->epfd) && atomic_load(&r->fd);
}

static bool is_told(const struct registration *r)
{
    return atomic_load(&r->state) != AMBIGUOUS;
}

static void change_state(struct registration *r, int from, int to)
{
    atomic_compare_exchange_strong(&r->state, &from, to);
}

/* --- the private epoll beside the listener; the lock is held --- */

/* Level-triggered and never exclusive whatever the listener is: what it says is looked into before the server hears of
   it, and it is this process's alone. */
static uint32_t events_beside(const struct registration *r)
{
    uint32_t events = atomic_load(&r->events);
    if (!atomic_load(&r->fd) || atomic_load(&r->state) == SPENT || !(events & EPOLLIN))
        return 0;
    return EPOLLIN | PPS_INTEREST_PARKED | (events & EPOLLONESHOT);
}

/* Adding what is there fails without a trace. If it succeeds, this is another epoll than we know. */
static bool holds(int epfd, int fd)
{
    struct epoll_event nothing = {0};
    if (real_epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &nothing) != 0)
        return errno == EEXIST;
    real_epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL);
    return false;
}

static void update_beside(struct registration *r)
{
    struct pps_listener l = atomic_load(&r->listener);
    int epfd = atomic_load(&r->epfd) - 1, fd = atomic_load(&r->fd) - 1;
    int private = l.generation ? pps_interest_private(&l) : -1;
    struct epoll_event e = {.events = events_beside(r), .data.u64 = atomic_load(&r->data)};
    if (private < 0)
        return;
    if (r->beside)
        real_epoll_ctl(epfd, EPOLL_CTL_MOD, private, &e);
    else if (fd >= 0 && holds(epfd, fd))
        r->beside = real_epoll_ctl(epfd, EPOLL_CTL_ADD, private, &e) == 0;
}

static void remove_beside(struct registration *r, int private)
{
    if (r->beside)
        real_epoll_ctl(atomic_load(&r->epfd) - 1, EPOLL_CTL_DEL, private, NULL);
    r->beside = false;
}

void pps_interest_attach(const struct pps_listener *l, int private_epoll)
{
    int before = atomic_exchange(&pps_record_of(l)->beside, private_epoll + 1) - 1;
    for (struct registration *r = registrations; r < end(); r++) {
        if (!is_of(r, l))
            continue;
        if (before >= 0)
            remove_beside(r, before);
        update_beside(r);
    }
}

bool pps_interest_announces(const struct pps_listener *l)
{
    for (struct registration *r = registrations; r < end(); r++) {
        if (!is_of(r, l) || !is_live(r) || r->beside)
            continue;
        update_beside(r);
        if (!r->beside && holds(atomic_load(&r->epfd) - 1, atomic_load(&r->fd) - 1))
            return false;
    }
    return true;
}

void pps_interest_lost(const struct pps_listener *l)
{
    atomic_store(&pps_record_of(l)->beside, 0);
    for (struct registration *r = registrations; r < end(); r++)
        if (is_of(r, l))
            r->beside = false;
}

int pps_interest_private(const struct pps_listener *l)
{
    struct pps_record *r = pps_record_of(l);
    int private = atomic_load(&r->beside) - 1;
    return private >= 0 && pps_record_is_of(r, l) ? private : -1;
}

/* --- registrations; the lock is held --- */

static struct registration *find(int epfd, int fd)
{
    for (struct registration *r = first(epfd); r; r = after(r))
        if (atomic_load(&r->epfd) == epfd + 1 && atomic_load(&r->fd) == fd + 1)
            return r;
    return NULL;
}

static struct registration *new_registration(int epfd)
{
    struct registration *r = end();
    if (r == registrations + REGISTRATIONS_MAX)
        return NULL;
    r->next = atomic_load(chain_of(epfd));
    atomic_store(chain_of(epfd), atomic_fetch_add(&registrations_end, 1) + 1);
    return r;
}

/* Or removed, and its listener cannot come back. */
static bool is_free(const struct registration *r)
{
    struct pps_listener l = atomic_load(&r->listener);
    return !atomic_load(&r->epfd) || (!atomic_load(&r->fd) && !r->beside && !pps_listener_is_open(&l));
}

/* One that this listener left in this epoll, or a free one. */
static struct registration *find_place(int epfd, const struct pps_listener *l)
{
    struct registration *place = NULL;
    for (struct registration *r = first(epfd); r; r = after(r)) {
        if (atomic_load(&r->epfd) == epfd + 1 && !atomic_load(&r->fd) && is_of(r, l))
            return r;
        if (is_free(r))
            place = r;
    }
    return place ? place : new_registration(epfd);
}

static bool may_be_held(const struct registration *r)
{
    struct pps_listener l = atomic_load(&r->listener);
    return !l.generation || !pps_slot_is_idle(&pps_record_of(&l)->held);
}

/* What is held already must be told to a new registration. */
static void arm(struct registration *r, const struct epoll_event *e)
{
    atomic_store(&r->events, e->events);
    atomic_store(&r->data, e->data.u64);
    if (is_told(r))
        atomic_store(&r->state, may_be_held(r) ? OWED : ARMED);
    update_beside(r);
}

static void free_registration(struct registration *r)
{
    r->beside = false;
    atomic_store(&r->fd, 0);
    atomic_store(&r->epfd, 0);
}

static void removed(struct registration *r)
{
    atomic_store(&r->fd, 0);
    update_beside(r);
}

/* --- another descriptor with the same data --- */

/* A server that gives its listener and another descriptor the same data cannot tell them apart, and nor can we: it gets
   the kernel's own events, the private epoll's among them. Of one that is removed the data is remembered: most come
   back with it. */
static bool has_data(const struct registration *r, int epfd, uint64_t data)
{
    return atomic_load(&r->epfd) == epfd + 1 && atomic_load(&r->data) == data;
}

static void note_same_data(int epfd, uint64_t data)
{
    for (struct registration *r = first(epfd); r; r = after(r))
        if (has_data(r, epfd, data))
            atomic_store(&r->state, AMBIGUOUS);
}

/* Takes no lock: what is being added meanwhile looks for the same data itself. */
static bool may_be_ambiguous(int epfd, uint64_t data)
{
    for (const struct registration *r = first(epfd); r; r = after(r))
        if (has_data(r, epfd, data))
            return true;
    return false;
}

struct sought {
    int epfd, fd;
    uint64_t data;
};

/* What is not to be readable takes nothing from the listener until it is changed; and the private epoll of a process
   with which this epoll is shared is told by its bit. */
static bool is_others(void *context, int fd, const struct epoll_event *event)
{
    const struct sought *s = context;
    if (!(event->events & EPOLLIN) || event->events & PPS_INTEREST_PARKED)
        return false;
    return fd != s->fd && event->data.u64 == s->data && pps_fd_kind(fd) != PPS_FD_OURS && !find(s->epfd, fd);
}

/* What came into the epoll before its first listener is in nobody's books but the kernel's. Reads as many lines as the
   epoll has descriptors: once for a listener and its data, when its first event comes, and without the lock. */
bool pps_interest_is_clear(const struct pps_interest *i)
{
    struct registration *r = &registrations[i->index];
    struct sought s = {i->epfd, i->fd, i->data};
    if (atomic_load(&r->unclear) && atomic_exchange(&r->unclear, false) && pps_fdinfo_epoll(i->epfd, is_others, &s))
        atomic_store(&r->state, AMBIGUOUS);
    return is_told(r);
}

/* --- epoll_ctl; the lock is held --- */

/* With data that nobody was asked about. */
static void begin_anew(struct registration *r)
{
    atomic_store(&r->unclear, true);
    atomic_store(&r->state, ARMED);
}

static void added(int epfd, int fd, const struct pps_listener *l, const struct epoll_event *e)
{
    struct registration *stale = find(epfd, fd);
    if (stale) /* the number was closed behind our back, or the kernel would have it still */
        removed(stale);
    struct registration *r = find_place(epfd, l);
    if (!r)
        return;
    if (!is_of(r, l) || !has_data(r, epfd, e->data.u64) || !is_told(r))
        begin_anew(r);
    atomic_store(&r->listener, *l);
    atomic_store(&r->data, e->data.u64);
    atomic_store(&r->fd, fd + 1);
    atomic_store(&r->epfd, epfd + 1);
    arm(r, e);
    pps_fd_mark(epfd, PPS_FD_EPOLL);
}

/* Armed in our books before it is in the kernel: another thread that is woken at once must find it so. */
static int modify(struct registration *r, int epfd, int fd, struct epoll_event *e)
{
    struct epoll_event before = {.events = atomic_load(&r->events), .data.u64 = atomic_load(&r->data)};
    int state = atomic_load(&r->state);
    bool unclear = atomic_load(&r->unclear);
    if (e->data.u64 != before.data.u64)
        begin_anew(r);
    arm(r, e);
    int result = real_epoll_ctl(epfd, EPOLL_CTL_MOD, fd, e), why = errno;
    if (result != 0) {
        arm(r, &before);
        atomic_store(&r->unclear, unclear);
        atomic_store(&r->state, state);
        update_beside(r);
    }
    errno = why;
    return result;
}

static int control(int epfd, int op, int fd, const struct pps_listener *l, struct epoll_event *e)
{
    struct registration *r = op == EPOLL_CTL_ADD ? NULL : find(epfd, fd);
    if (r && op == EPOLL_CTL_MOD && e)
        return modify(r, epfd, fd, e);
    int result = real_epoll_ctl(epfd, op, fd, e);
    if (result == 0 && op == EPOLL_CTL_ADD)
        added(epfd, fd, l, e);
    else if (result == 0 && r && op == EPOLL_CTL_DEL)
        removed(r);
    return result;
}

void pps_interest_closing(int fd)
{
    for (struct registration *r = registrations; r < end(); r++) {
        if (atomic_load(&r->epfd) == fd + 1)
            free_registration(r); /* the private epoll goes with the epoll */
        else if (atomic_load(&r->epfd) && atomic_load(&r->fd) == fd + 1)
            removed(r);
    }
}

/* --- what others call --- */

/* Whether what was just added to `epfd` is an epoll itself: it then says that it does not hold `epfd`. */
static bool is_epoll(int fd, int epfd)
{
    return real_epoll_ctl(fd, EPOLL_CTL_DEL, epfd, NULL) != 0 && errno == ENOENT;
}

static int control_listener(int epfd, int op, int fd, const struct pps_listener *l, struct epoll_event *event)
{
    struct pps_lock lock;
    pps_lock_enter(&lock);
    int result = control(epfd, op, fd, l, event), why = errno;
    pps_lock_leave(&lock);
    errno = why;
    return result;
}

static void enter_nested(int epfd, int fd, const struct epoll_event *event)
{
    static const struct pps_listener nested;
    struct pps_lock lock;
    pps_fd_mark(fd, PPS_FD_EPOLL);
    pps_lock_enter(&lock);
    added(epfd, fd, &nested, event);
    pps_lock_leave(&lock);
}

/* Of a descriptor that is no listener. */
static int control_other(int epfd, int op, int fd, struct epoll_event *event, bool first_seen)
{
    struct pps_lock lock;
    int result = real_epoll_ctl(epfd, op, fd, event), why = errno;
    if (result == 0 && first_seen && is_epoll(fd, epfd)) {
        enter_nested(epfd, fd, event);
    } else if (result == 0 && op != EPOLL_CTL_DEL && pps_fd_kind(epfd) == PPS_FD_EPOLL &&
               may_be_ambiguous(epfd, event->data.u64)) {
        pps_lock_enter(&lock);
        note_same_data(epfd, event->data.u64);
        pps_lock_leave(&lock);
    }
    errno = why;
    return result;
}

int pps_interest_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    struct pps_listener l = {0};
    enum pps_fd_kind before = pps_fd_kind(fd), kind = before;
    if (op == EPOLL_CTL_ADD) /* a listener's number may be a client's by now, its close unseen */
        kind = pps_listener_confirm(fd, &l);
    if (kind == PPS_FD_GOVERNED || kind == PPS_FD_EPOLL)
        return control_listener(epfd, op, fd, &l, event);
    return control_other(epfd, op, fd, event, before == PPS_FD_UNKNOWN && kind == PPS_FD_NO_SOCKET);
}

struct adoption {
    int epfd, fd;
    const struct pps_listener *l;
};

static bool adopt(void *context, int fd, const struct epoll_event *event)
{
    struct adoption *a = context;
    struct pps_lock lock;
    if (fd != a->fd)
        return false;
    pps_lock_enter(&lock);
    if (!find(a->epfd, fd))
        added(a->epfd, fd, a->l, event);
    pps_lock_leave(&lock);
    return true;
}

/* The looking, about a millisecond, is done without the lock: other threads accept meanwhile. */
void pps_interest_adopt(int fd, const struct pps_listener *l)
{
    for (int epfd = 0; epfd < NUMBERS_ADOPTED; epfd++) {
        struct adoption a = {epfd, fd, l};
        enum pps_fd_kind kind = pps_fd_kind(epfd);
        if (kind != PPS_FD_OURS && kind != PPS_FD_GOVERNED && fcntl(epfd, F_GETFD) >= 0)
            pps_fdinfo_epoll(epfd, adopt, &a);
    }
}

bool pps_interest_next(int epfd, unsigned *cursor, struct pps_interest *out)
{
    struct registration *r = *cursor ? after(&registrations[*cursor - 1]) : first(epfd);
    for (; r; r = after(r)) {
        int fd = atomic_load(&r->fd);
        if (atomic_load(&r->epfd) != epfd + 1 || !fd || !is_told(r))
            continue;
        *cursor = (unsigned)(r - registrations) + 1;
        *out = (struct pps_interest){.index = *cursor - 1,
                                     .epfd = epfd,
                                     .fd = fd - 1,
                                     .listener = atomic_load(&r->listener),
                                     .events = atomic_load(&r->events),
                                     .spent = atomic_load(&r->state) == SPENT,
                                     .data = atomic_load(&r->data)};
        return true;
    }
    return false;
}

void pps_interest_set_owed(const struct pps_interest *i, bool owed)
{
    struct registration *r = &registrations[i->index];
    change_state(r, owed ? ARMED : OWED, owed ? OWED : ARMED);
}

bool pps_interest_is_owed(const struct pps_interest *i)
{
    return atomic_load(&registrations[i->index].state) == OWED;
}

void pps_interest_owe_edges(const struct pps_listener *l)
{
    for (struct registration *r = registrations; r < end(); r++)
        if (is_live(r) && is_of(r, l) && (atomic_load(&r->events) & EPOLLET))
            change_state(r, ARMED, OWED);
}

bool pps_interest_is_any(const struct pps_listener *l)
{
    for (const struct registration *r = registrations; r < end(); r++)
        if (is_live(r) && is_of(r, l))
            return true;
    return false;
}

bool pps_interest_is_ambiguous(const struct pps_listener *l)
{
    for (const struct registration *r = registrations; r < end(); r++)
        if (!is_told(r) && is_live(r) && is_of(r, l))
            return true;
    return false;
}

static bool is_still(const struct registration *r, const struct pps_interest *i)
{
    return atomic_load(&r->epfd) == i->epfd + 1 && atomic_load(&r->fd) == i->fd + 1;
}

static bool spend(struct registration *r, const struct pps_interest *i)
{
    return is_still(r, i) && is_told(r) && atomic_exchange(&r->state, SPENT) != SPENT;
}

bool pps_interest_verify(const struct pps_interest *i)
{
    struct pps_lock lock;
    struct registration *r = &registrations[i->index];
    pps_lock_enter(&lock);
    bool there = is_still(r, i) && holds(i->epfd, i->fd);
    if (!there && is_still(r, i))
        free_registration(r);
    pps_lock_leave(&lock);
    return there;
}

/* Listener and private epoll are one one-shot between them: the kernel disarmed whichever fired. */
bool pps_interest_spend(const struct pps_interest *i, bool fired)
{
    struct pps_lock lock;
    struct registration *r = &registrations[i->index];
    struct epoll_event disarmed = {.events = EPOLLONESHOT, .data.u64 = i->data};
    if (fired && pps_interest_private(&i->listener) < 0) /* nothing to mute: who parks now looks at SPENT */
        return spend(r, i);
    pps_lock_enter(&lock);
    bool first_to_tell = spend(r, i);
    if (first_to_tell) {
        real_epoll_ctl(i->epfd, EPOLL_CTL_MOD, i->fd, &disarmed);
        update_beside(r);
    }
    pps_lock_leave(&lock);
    return first_to_tell;
}

bool pps_interest_rearm(const struct pps_interest *i)
{
    struct pps_lock lock;
    struct registration *r = &registrations[i->index];
    bool armed = false;
    pps_lock_enter(&lock);
    if (is_still(r, i) && is_told(r)) {
        struct epoll_event e = {.events = atomic_load(&r->events), .data.u64 = atomic_load(&r->data)};
        change_state(r, SPENT, ARMED);
        armed = real_epoll_ctl(i->epfd, EPOLL_CTL_MOD, i->fd, &e) == 0;
        update_beside(r);
    }
    pps_lock_leave(&lock);
    return armed;
}
