/* SPDX-License-Identifier: MIT
 *
 * interest.c: registrations of governed listeners in the server's epolls (interest.h).
 *
 * Every field that a look-up reads is an atomic; a look-up that races a change sees the registration before or after
 * it, as the kernel's own event might. Descriptors in here are the server's: before an epoll is touched on our own
 * account it is asked whether it still holds the listener, so that a number reused behind our back is left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <ppshim/fdinfo.h>
#include <ppshim/interest.h>
#include <ppshim/lock.h>
#include <ppshim/real.h>
#include <stdatomic.h>

#define NUMBERS_ADOPTED 256

#define REGISTRATIONS_MAX 4096 /* beyond: the server's wait shows the kernel's own readiness */

static struct registration {
    _Atomic int epfd; /* plus one; 0: free */
    _Atomic int fd;   /* plus one; 0: the server removed it, and may put it in again */
    _Atomic(struct pps_listener) listener;
    _Atomic uint32_t events;
    _Atomic uint64_t data;
    atomic_bool spent; /* EPOLLONESHOT, told */
    atomic_bool owed;
    atomic_bool ambiguous; /* another descriptor in this epoll has the same data */
    atomic_bool asked;     /* the kernel, whether one that came before the listener has */
    bool beside;           /* the private epoll is in there too; the guard's */
} registrations[REGISTRATIONS_MAX];
static _Atomic unsigned registrations_end;

static _Atomic int private_epolls[PPS_LISTENERS_MAX]; /* plus one; 0: none */

static bool is_of(const struct registration *r, const struct pps_listener *l)
{
    struct pps_listener mine = atomic_load(&r->listener);
    return atomic_load(&r->epfd) && pps_listener_same(&mine, l);
}

static struct registration *end(void)
{
    return registrations + atomic_load(&registrations_end);
}

/* --- the private epoll beside the listener; the guard is held --- */

/* Level-triggered and never exclusive whatever the listener is: what it says is looked into before the server hears of
   it, and it is this process's alone. */
static uint32_t events_beside(const struct registration *r)
{
    uint32_t events = atomic_load(&r->events);
    if (!atomic_load(&r->fd) || atomic_load(&r->spent) || !(events & EPOLLIN))
        return 0;
    return EPOLLIN | (events & EPOLLONESHOT);
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
    int epfd = atomic_load(&r->epfd) - 1, private = atomic_load(&private_epolls[l.index]) - 1;
    struct epoll_event e = {.events = events_beside(r), .data.u64 = atomic_load(&r->data)};
    if (!l.generation || private < 0)
        return;
    if (r->beside)
        real_epoll_ctl(epfd, EPOLL_CTL_MOD, private, &e);
    else if (atomic_load(&r->fd) && holds(epfd, atomic_load(&r->fd) - 1))
        r->beside = real_epoll_ctl(epfd, EPOLL_CTL_ADD, private, &e) == 0;
}

/* Asked of the kernel. */
static bool is_beside(const struct registration *r)
{
    struct pps_listener l = atomic_load(&r->listener);
    int private = atomic_load(&private_epolls[l.index]) - 1;
    return r->beside && private >= 0 && holds(atomic_load(&r->epfd) - 1, private);
}

static void remove_beside(struct registration *r, int private)
{
    if (r->beside)
        real_epoll_ctl(atomic_load(&r->epfd) - 1, EPOLL_CTL_DEL, private, NULL);
    r->beside = false;
}

void pps_watch_attach(const struct pps_listener *l, int private_epoll)
{
    int before = atomic_exchange(&private_epolls[l->index], private_epoll + 1) - 1;
    for (struct registration *r = registrations; r < end(); r++) {
        if (!is_of(r, l))
            continue;
        if (before >= 0)
            remove_beside(r, before);
        update_beside(r);
    }
}

void pps_watch_lost(const struct pps_listener *l)
{
    atomic_store(&private_epolls[l->index], 0);
    for (struct registration *r = registrations; r < end(); r++)
        if (is_of(r, l))
            r->beside = false;
}

int pps_watch_private(const struct pps_listener *l)
{
    return atomic_load(&private_epolls[l->index]) - 1;
}

/* --- registrations; the guard is held --- */

static struct registration *find(int epfd, int fd)
{
    for (struct registration *r = registrations; r < end(); r++)
        if (atomic_load(&r->epfd) == epfd + 1 && atomic_load(&r->fd) == fd + 1)
            return r;
    return NULL;
}

/* Nobody needs it: free, or left by a listener that is closed. */
static bool is_to_be_had(const struct registration *r)
{
    struct pps_listener l = atomic_load(&r->listener);
    return !atomic_load(&r->epfd) || (!atomic_load(&r->fd) && !r->beside && !pps_listener_is_open(&l));
}

static struct registration *one_more(void)
{
    if (end() == registrations + REGISTRATIONS_MAX)
        return NULL;
    return &registrations[atomic_fetch_add(&registrations_end, 1)];
}

/* One that this listener left in this epoll, or a free one. */
static struct registration *find_place(int epfd, const struct pps_listener *l)
{
    struct registration *place = NULL, *left = NULL;
    for (struct registration *r = registrations; r < end(); r++) {
        if (atomic_load(&r->epfd) == epfd + 1 && !atomic_load(&r->fd) && is_of(r, l))
            return r;
        if (!place && is_to_be_had(r))
            place = r;
        if (!left && !atomic_load(&r->fd) && !r->beside)
            left = r;
    }
    if (!place)
        place = one_more();
    return place ? place : left;
}

static void arm(struct registration *r, const struct epoll_event *e)
{
    atomic_store(&r->events, e->events);
    atomic_store(&r->data, e->data.u64);
    atomic_store(&r->spent, false);
    atomic_store(&r->owed, true); /* what is held already must be told to a new registration */
    update_beside(r);
}

/* Also of a listener that is out for a while. */
static bool has_data(const struct registration *r, int epfd, uint64_t data)
{
    return atomic_load(&r->epfd) == epfd + 1 && atomic_load(&r->data) == data;
}

/* A server that gives its listener and another descriptor the same data cannot tell them apart, and nor can we: it gets
   the kernel's own events, the private epoll's among them. */
static void note_same_data(int epfd, uint64_t data)
{
    for (struct registration *r = registrations; r < end(); r++)
        if (has_data(r, epfd, data))
            atomic_store(&r->ambiguous, true);
}

/* Takes no guard: what is being added meanwhile looks for the same data itself. */
static bool may_be_ambiguous(int epfd, uint64_t data)
{
    for (const struct registration *r = registrations; r < end(); r++)
        if (has_data(r, epfd, data))
            return true;
    return false;
}

static bool is_foreign(int epfd, int fd)
{
    return !find(epfd, fd) && pps_listener_kind(fd) != PPS_FD_OURS;
}

struct sought {
    int epfd;
    uint64_t data;
};

/* The private epoll of another process that has this epoll is none of the server's; nor is its number one here. */
static bool is_others(void *context, int fd, const struct epoll_event *event)
{
    const struct sought *s = context;
    return event->data.u64 == s->data && is_foreign(s->epfd, fd) && holds(s->epfd, fd);
}

/* What was in the epoll before its first listener is in nobody's books but the kernel's. */
static bool others_have(int epfd, uint64_t data)
{
    return pps_fdinfo_epoll(epfd, is_others, &(struct sought){epfd, data});
}

/* `known`: what was found out about this data holds: since then all that came into the epoll was seen. */
static void ask_anew_unless(struct registration *r, bool known)
{
    if (known && atomic_load(&r->asked) && !atomic_load(&r->ambiguous))
        return;
    atomic_store(&r->asked, false);
    atomic_store(&r->ambiguous, false);
}

/* It stays in the books: a server that puts its listener in and out all the time must not pay for it each time. */
static void taken_out(struct registration *r)
{
    atomic_store(&r->fd, 0);
    update_beside(r);
}

static void removed(struct registration *r)
{
    taken_out(r);
    if (!r->beside)
        atomic_store(&r->epfd, 0);
}

static void added(int epfd, int fd, const struct pps_listener *l, const struct epoll_event *e)
{
    struct registration *stale = find(epfd, fd);
    if (stale) /* the number was closed behind our back, or the kernel would have it still */
        removed(stale);
    struct registration *r = find_place(epfd, l);
    if (!r)
        return;
    bool again = atomic_load(&r->epfd) == epfd + 1 && is_of(r, l);
    if (!again)
        r->beside = false;
    ask_anew_unless(r, again && !stale && atomic_load(&r->data) == e->data.u64);
    atomic_store(&r->listener, *l);
    atomic_store(&r->fd, fd + 1);
    atomic_store(&r->epfd, epfd + 1);
    arm(r, e);
    pps_listener_mark(epfd, PPS_FD_EPOLL);
}

/* Armed in our books before it is in the kernel: another thread that is woken at once must find it so. */
static int modify(struct registration *r, int epfd, int fd, struct epoll_event *e)
{
    struct epoll_event before = {.events = atomic_load(&r->events), .data.u64 = atomic_load(&r->data)};
    bool spent = atomic_load(&r->spent);
    arm(r, e);
    int result = real_epoll_ctl(epfd, EPOLL_CTL_MOD, fd, e), why = errno;
    if (result == 0 && e->data.u64 != before.data.u64) {
        ask_anew_unless(r, false);
    } else if (result != 0) {
        arm(r, &before);
        atomic_store(&r->spent, spent);
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
        taken_out(r);
    return result;
}

void pps_watch_closing(int fd)
{
    for (struct registration *r = registrations; r < end(); r++) {
        if (atomic_load(&r->epfd) == fd + 1) {
            r->beside = false; /* it goes with the epoll */
            atomic_store(&r->epfd, 0);
        } else if (atomic_load(&r->epfd) && atomic_load(&r->fd) == fd + 1) {
            removed(r);
        }
    }
}

/* --- what others call --- */

/* Whether what was just added to `epfd` is an epoll itself: it then says that it does not hold `epfd`. */
static bool is_epoll(int fd, int epfd)
{
    return real_epoll_ctl(fd, EPOLL_CTL_DEL, epfd, NULL) != 0 && errno == ENOENT;
}

static int guarded_control(int epfd, int op, int fd, const struct pps_listener *l, struct epoll_event *event)
{
    struct pps_guard g;
    if (!pps_process_is_owner())
        return real_epoll_ctl(epfd, op, fd, event);
    pps_guard_enter(&g);
    int result = control(epfd, op, fd, l, event), why = errno;
    pps_guard_leave(&g);
    errno = why;
    return result;
}

/* Of a descriptor that is no listener. */
static int control_other(int epfd, int op, int fd, struct epoll_event *event, bool first_seen)
{
    struct pps_guard g;
    static const struct pps_listener nested;
    int result = real_epoll_ctl(epfd, op, fd, event), why = errno;
    if (result == 0 && first_seen && is_epoll(fd, epfd) && pps_process_is_owner()) {
        pps_listener_mark(fd, PPS_FD_EPOLL);
        pps_guard_enter(&g);
        added(epfd, fd, &nested, event);
        pps_guard_leave(&g);
    } else if (result == 0 && op != EPOLL_CTL_DEL && pps_listener_kind(epfd) == PPS_FD_EPOLL &&
               may_be_ambiguous(epfd, event->data.u64)) {
        pps_guard_enter(&g);
        note_same_data(epfd, event->data.u64);
        pps_guard_leave(&g);
    }
    errno = why;
    return result;
}

int pps_watch_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    struct pps_listener l = {0};
    enum pps_fd_kind before = pps_listener_kind(fd), kind = before;
    if (op == EPOLL_CTL_ADD) /* a listener's number may be a client's by now, its close unseen */
        kind = before == PPS_FD_GOVERNED ? pps_listener_recheck(fd, &l) : pps_listener_find(fd, &l);
    if (kind == PPS_FD_GOVERNED || kind == PPS_FD_EPOLL)
        return guarded_control(epfd, op, fd, &l, event);
    return control_other(epfd, op, fd, event, before == PPS_FD_UNKNOWN && kind == PPS_FD_NO_SOCKET);
}

struct adoption {
    int epfd, fd;
    const struct pps_listener *l;
};

static bool adopt(void *context, int fd, const struct epoll_event *event)
{
    const struct adoption *a = context;
    struct pps_guard g;
    if (fd != a->fd)
        return false;
    pps_guard_enter(&g);
    if (!find(a->epfd, fd))
        added(a->epfd, fd, a->l, event);
    pps_guard_leave(&g);
    return true;
}

/* The looking, about a millisecond, is done without the guard: other threads accept meanwhile. */
void pps_watch_adopt(int fd, const struct pps_listener *l)
{
    if (!pps_process_is_owner())
        return;
    for (int epfd = 0; epfd < NUMBERS_ADOPTED; epfd++) {
        enum pps_fd_kind kind = pps_listener_kind(epfd);
        if (kind != PPS_FD_OURS && kind != PPS_FD_GOVERNED && fcntl(epfd, F_GETFD) >= 0)
            pps_fdinfo_epoll(epfd, adopt, &(struct adoption){epfd, fd, l});
    }
}

bool pps_watch_next(int epfd, unsigned *cursor, struct pps_watch *out)
{
    unsigned stop = atomic_load(&registrations_end);
    for (; *cursor < stop; ++*cursor) {
        struct registration *r = &registrations[*cursor];
        int fd = atomic_load(&r->fd);
        if (atomic_load(&r->epfd) != epfd + 1 || !fd || atomic_load(&r->ambiguous))
            continue;
        *out = (struct pps_watch){.slot = (*cursor)++,
                                  .epfd = epfd,
                                  .fd = fd - 1,
                                  .listener = atomic_load(&r->listener),
                                  .events = atomic_load(&r->events),
                                  .spent = atomic_load(&r->spent),
                                  .data = atomic_load(&r->data)};
        return true;
    }
    return false;
}

void pps_watch_set_owed(const struct pps_watch *w, bool owed)
{
    atomic_store(&registrations[w->slot].owed, owed);
}

bool pps_watch_owed(const struct pps_watch *w)
{
    return atomic_load(&registrations[w->slot].owed);
}

static bool is_still(const struct registration *r, const struct pps_watch *w)
{
    return atomic_load(&r->epfd) == w->epfd + 1 && atomic_load(&r->fd) == w->fd + 1;
}

/* Takes no guard: what is added meanwhile is compared by who adds it. */
bool pps_watch_shares_data(const struct pps_watch *w)
{
    struct registration *r = &registrations[w->slot];
    if (!is_still(r, w))
        return false;
    if (!atomic_exchange(&r->asked, true) && others_have(w->epfd, w->data) && atomic_load(&r->data) == w->data)
        atomic_store(&r->ambiguous, true);
    return atomic_load(&r->ambiguous);
}

/* The epoll may have been closed behind our back, and its number be another's. It is the same where it holds the
   private epoll: then the listener was closed so, and its peers will be seen to. */
bool pps_watch_is_there(const struct pps_watch *w)
{
    struct pps_guard g;
    struct registration *r = &registrations[w->slot];
    if (!pps_process_is_owner())
        return holds(w->epfd, w->fd);
    pps_guard_enter(&g);
    bool known = is_still(r, w), there = known && holds(w->epfd, w->fd);
    if (known && !there) {
        r->beside = is_beside(r);
        removed(r);
    }
    pps_guard_leave(&g);
    return there;
}

bool pps_watch_any(const struct pps_listener *l)
{
    for (struct registration *r = registrations; r < end(); r++)
        if (atomic_load(&r->fd) && is_of(r, l))
            return true;
    return false;
}

/* Listener and private epoll are one one-shot between them: the kernel disarmed whichever fired. */
bool pps_watch_spend(const struct pps_watch *w)
{
    struct pps_guard g;
    struct registration *r = &registrations[w->slot];
    struct epoll_event disarmed = {.events = EPOLLONESHOT, .data.u64 = w->data};
    pps_guard_enter(&g);
    bool first = is_still(r, w) && !atomic_exchange(&r->spent, true);
    if (first && r->beside) {
        real_epoll_ctl(w->epfd, EPOLL_CTL_MOD, w->fd, &disarmed);
        update_beside(r);
    }
    pps_guard_leave(&g);
    return first;
}

bool pps_watch_rearm(const struct pps_watch *w)
{
    struct pps_guard g;
    struct registration *r = &registrations[w->slot];
    bool armed = false;
    pps_guard_enter(&g);
    if (is_still(r, w)) {
        struct epoll_event e = {.events = atomic_load(&r->events), .data.u64 = atomic_load(&r->data)};
        atomic_store(&r->spent, false);
        armed = real_epoll_ctl(w->epfd, EPOLL_CTL_MOD, w->fd, &e) == 0;
        update_beside(r);
    }
    pps_guard_leave(&g);
    return armed;
}
