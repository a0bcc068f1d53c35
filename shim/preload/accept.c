/* SPDX-License-Identifier: MIT
 *
 * accept.c: where connections come from: straight from the kernel while nothing is parked, else from whichever is ready
 * first, a parked connection or the listener.
 *
 * Of the threads that block in accept on one listener one leads: it alone is in the real call or, when connections are
 * parked, watches them and the listener. The others follow: they sleep until the leader leaves, with a connection or
 * without, and hands them the baton. So nothing is parked without a watcher, and no thread sleeps in the real call
 * while something is. Across processes nothing watches another's parked connections, and O_NONBLOCK is never touched:
 * it belongs to the listener's other owners too.
 *
 * Cancellation is off except where accept waits. Nothing is locked while it waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <ppshim/accept.h>
#include <ppshim/acquire.h>
#include <ppshim/admit.h>
#include <ppshim/deadline.h>
#include <ppshim/fd_close.h>
#include <ppshim/held.h>
#include <ppshim/interest.h>
#include <ppshim/lock.h>
#include <ppshim/parked.h>
#include <ppshim/real.h>
#include <ppshim/signals.h>
#include <ppshim/sockname.h>
#include <ppshim/state.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

/* The threads of this process inside accept on one listener. Counts of a parent's threads mean nothing in its child. */
static struct crowd {
    atomic_bool led;
    _Atomic unsigned followers;
} crowds[PPS_LISTENERS_MAX];
static _Atomic unsigned crowds_end; /* one more than the highest index in use */

/* One call of accept. */
struct attempt {
    int listener_fd;
    struct pps_listener l;
    struct crowd *crowd;
    struct sockaddr *sa;
    socklen_t *len;
    int flags;
    bool begun, learned;
    bool must_not_wait; /* a wait told the server what the kernel said, before we could look */
    bool nonblocking;
    uint64_t started, give_up; /* deadline.h */
    int cancel_state;          /* the caller's */
    struct pps_signals signals;
    unsigned forks; /* when it counted itself in: a handler may fork, and the child return from it into this call */
};

enum { AGAIN = -2, FAILED = -1 }; /* in place of a descriptor; FAILED leaves the reason in errno */

static void cancel_off(void)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}

static void cancel_as_called(const struct attempt *a)
{
    pthread_setcancelstate(a->cancel_state, NULL);
}

/* --- handing over --- */

/* As the kernel told it; an AF_UNIX peer that has a name of its own is asked again. */
static void answer_real_peer(const struct attempt *a, const struct pps_conn *c)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (c->peer_raw_len <= sizeof c->peer_raw)
        pps_answer_copy(&c->peer_raw, c->peer_raw_len, a->sa, a->len);
    else if (real_getpeername(c->fd, (struct sockaddr *)&ss, &len) == 0)
        pps_answer_copy(&ss, len, a->sa, a->len);
    else
        pps_answer_copy(&c->peer_raw, sizeof c->peer_raw.sin6_family, a->sa, a->len);
}

static int deliver(const struct attempt *a, struct pps_conn *c)
{
    sa_family_t family = a->l.inet6 ? AF_INET6 : AF_INET;
    if (a->sa && c->client.has_addr) {
        if (!pps_answer_addr(&c->client.addr, family, c->client.v6only, a->sa, a->len)) {
            pps_admit_close(c, PPS_REASON_CLIENT_NEEDS_INET6);
            return AGAIN;
        }
    } else if (a->sa) {
        answer_real_peer(a, c);
    }
    pps_listener_mark(c->fd, PPS_FD_OTHER);
    return c->fd;
}

/* A connection fresh from the kernel. */
static int take_in(struct attempt *a, int fd, const struct sockaddr_storage *peer, socklen_t len, unsigned forks)
{
    struct pps_conn c;
    bool ready = pps_settle_take_in(&a->l, fd, (const struct sockaddr *)peer, len, a->flags, forks, &a->signals, &c);
    return ready ? deliver(a, &c) : AGAIN;
}

/* --- sources --- */

/* Whether accept(2) goes on after this error. Which handler ran is not told, so all must have SA_RESTART. */
static bool restarts(const struct attempt *a, int why)
{
    return why == EINTR && a->give_up == PPS_NEVER && pps_signals_all_restart();
}

/* Among this process's threads one leads, so that what it saw is there for it, unless others wait for it otherwise. */
static bool may_be_taken(const struct attempt *a)
{
    return pps_process_has_family() || pps_settle_is_seen(&a->l);
}

/* The real call. `readable`: it was just said to be. */
static int from_kernel(struct attempt *a, bool readable)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    unsigned forks = pps_process_forks();
    cancel_as_called(a);
    bool sleeps = !a->nonblocking && (!readable || may_be_taken(a));
    int fd = !sleeps ? real_accept4(a->listener_fd, (struct sockaddr *)&peer, &len, a->flags)
                     : pps_signals_accept4(&a->signals, a->listener_fd, (struct sockaddr *)&peer, &len, a->flags);
    cancel_off();
    int why = errno;
    if (fd >= 0)
        return take_in(a, fd, &peer, len, forks);
    if (a->signals.blocked && restarts(a, why))
        return AGAIN;
    if (why == EMFILE && pps_park_waiting(&a->l) && pps_settle_make_room())
        return AGAIN; /* parked peers must not cost the server a live one */
    errno = why;
    return FAILED;
}

/* The next parked one that leaves; AGAIN: none can. */
static int from_parked(const struct attempt *a)
{
    struct pps_conn c;
    enum pps_reason reason;
    for (;;) {
        int fd;
        switch (pps_park_next(&a->l, a->flags, &c, &reason)) {
        case PPS_PARK_NOTHING:
            return AGAIN;
        case PPS_PARK_GONE:
            pps_admit_close(&c, reason);
            break;
        case PPS_PARK_READY:
            fd = deliver(a, &c);
            if (fd != AGAIN)
                return fd;
        }
    }
}

/* --- waiting --- */

/* SO_RCVTIMEO of the listener bounds accept (socket(7)). */
static uint64_t listener_deadline(const struct attempt *a)
{
    struct timeval t = {0};
    socklen_t len = sizeof t;
    getsockopt(a->listener_fd, SOL_SOCKET, SO_RCVTIMEO, &t, &len);
    uint64_t ns = (uint64_t)t.tv_sec * PPS_SECOND + (uint64_t)t.tv_usec * 1000;
    return ns ? a->started + ns : PPS_NEVER;
}

/* What to sleep on: some descriptors, or a door (parked.h). */
struct bed {
    struct pollfd *fds;
    nfds_t n;
    int door; /* -1: the descriptors */
    struct epoll_event event;
};

static int sleep_in(struct bed *bed, uint64_t left, const sigset_t *mask)
{
    struct timespec t = pps_timespec(left);
    if (bed->door < 0)
        return real_ppoll(bed->fds, bed->n, left == PPS_NEVER ? NULL : &t, mask);
    return real_epoll_pwait(bed->door, &bed->event, 1, pps_milliseconds(left), mask);
}

/* Waits with cancellation as the caller has it; `on_cancel` undoes what others rely on. AGAIN: something is ready or a
   signal that restarts came. */
static int wait_in(struct attempt *a, struct bed *bed, void (*on_cancel)(void *))
{
    int ready;
    pthread_cleanup_push(on_cancel, a);
    cancel_as_called(a);
    ready = sleep_in(bed, pps_time_left(a->give_up), a->signals.mask);
    cancel_off();
    pthread_cleanup_pop(0);
    if (ready > 0)
        return AGAIN;
    if (ready < 0)
        return restarts(a, errno) ? AGAIN : FAILED;
    if (pps_time_left(a->give_up) != 0) /* the kernel rounds its own way */
        return AGAIN;
    errno = EAGAIN;
    return FAILED;
}

static int wait_for(struct attempt *a, struct pollfd *fds, nfds_t n, void (*on_cancel)(void *))
{
    struct bed bed = {.fds = fds, .n = n, .door = -1};
    return wait_in(a, &bed, on_cancel);
}

static void nothing_to_undo(void *attempt)
{
    (void)attempt;
}

/* What of the listener matters only off the fast path, asked once a call. */
static void learn_listener(struct attempt *a)
{
    if (a->learned)
        return;
    a->learned = true;
    a->nonblocking = fcntl(a->listener_fd, F_GETFL) & O_NONBLOCK;
    a->give_up = a->nonblocking ? a->started + pps_config_timeout(&pps_config) : listener_deadline(a);
}

static void get_up(void *attempt)
{
    const struct attempt *a = attempt;
    int saved = errno;
    pps_park_get_up(&a->l);
    errno = saved;
}

/* --- leading and following --- */

/* Which crowd this thread leads: a signal handler that interrupted the leader and calls accept goes on as the leader,
   it must not wait for itself. */
static _Thread_local struct crowd *leading;

static bool try_to_lead(struct crowd *crowd)
{
    bool nobody = false;
    leading = crowd; /* before it is true: a handler that comes in between must not follow its own thread */
    if (atomic_compare_exchange_strong(&crowd->led, &nobody, true))
        return true;
    leading = NULL;
    return false;
}

static void resign(void *attempt)
{
    const struct attempt *a = attempt;
    int saved = errno;
    atomic_store(&a->crowd->led, false);
    leading = NULL;
    if (atomic_load(&a->crowd->followers))
        pps_park_pass_baton(&a->l);
    errno = saved;
}

/* Processes that share the listener wait for it too. Exclusive, so that the kernel wakes one of them for one connection
   and not all, most to find it gone and sleep in the real call, where nobody watches what they have parked. */
static int sleep_at_door(struct attempt *a, int door, uint64_t *what)
{
    struct bed bed = {.door = door, .event.data.u64 = PPS_DOOR_PARKED};
    struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = PPS_DOOR_LISTENER};
    real_epoll_ctl(door, EPOLL_CTL_ADD, a->listener_fd, &e);
    int result = wait_in(a, &bed, get_up), why = errno;
    real_epoll_ctl(door, EPOLL_CTL_DEL, a->listener_fd, NULL);
    *what = bed.event.data.u64;
    errno = why;
    return result;
}

/* The leader, with connections parked. */
static int lead_among_parked(struct attempt *a)
{
    struct pps_park_stand stand;
    uint64_t what = PPS_DOOR_PARKED;
    int fd = from_parked(a);
    if (fd != AGAIN || !pps_park_waiting(&a->l) || !pps_park_lie_down(&a->l, &stand))
        return fd;
    if (stand.door >= 0)
        fd = sleep_at_door(a, stand.door, &what);
    get_up(a);
    if (fd == AGAIN && what == PPS_DOOR_BATON)
        pps_park_take_baton(&a->l);
    if (fd != AGAIN || what != PPS_DOOR_LISTENER)
        return fd;
    if (pps_process_may_share() && !pps_settle_is_readable(a->listener_fd))
        return AGAIN; /* another process was quicker */
    return from_kernel(a, true);
}

/* The leader, with nothing parked. Of a call that has met connections of no use before, SO_RCVTIMEO bounds the whole,
   not each. */
static int lead_in_kernel(struct attempt *a)
{
    struct pollfd p = {.fd = a->listener_fd, .events = POLLIN};
    if (a->learned && !a->nonblocking && a->give_up != PPS_NEVER && wait_for(a, &p, 1, nothing_to_undo) == FAILED)
        return FAILED;
    return from_kernel(a, false);
}

static int lead(struct attempt *a)
{
    int fd;
    pthread_cleanup_push(resign, a);
    fd = pps_park_waiting(&a->l) ? lead_among_parked(a) : lead_in_kernel(a);
    pthread_cleanup_pop(0);
    return fd;
}

static void not_following(const struct attempt *a)
{
    if (a->forks == pps_process_forks())
        atomic_fetch_sub(&a->crowd->followers, 1);
}

static void stop_following(void *attempt)
{
    get_up(attempt);
    not_following(attempt);
}

/* Sleeps until the leader hands on. Counts as a follower first: the record stays this listener's while it sleeps. */
static int follow(struct attempt *a)
{
    struct pps_park_stand stand;
    int result = AGAIN, why = 0;
    a->forks = pps_process_forks();
    atomic_fetch_add(&a->crowd->followers, 1);
    if (!pps_park_lie_down(&a->l, &stand)) {
        not_following(a);
        return lead_in_kernel(a); /* no descriptor to sleep on: as without us */
    }
    struct bed bed = {.door = stand.bench};
    if (atomic_load(&a->crowd->led)) {
        result = wait_in(a, &bed, stop_following);
        why = errno;
        if (result == AGAIN)
            pps_park_take_baton(&a->l);
    }
    stop_following(a);
    errno = why;
    return result;
}

/* The listener is non-blocking. A server that waits for it where we see it will be woken when a header completes; for
   one that waits by other means (raw system calls, io_uring) the header is waited for here, PPSHIM_TIMEOUT at most,
   unless somebody else is ready first. */
static int without_blocking(struct attempt *a)
{
    int fd = from_parked(a);
    if (fd == AGAIN)
        fd = from_kernel(a, false);
    if (fd != FAILED || errno != EAGAIN || pps_settle_is_seen(&a->l) || !pps_park_waiting(&a->l))
        return fd;
    struct pollfd p[2] = {{.fd = pps_watch_private(&a->l), .events = POLLIN}, {.fd = a->listener_fd, .events = POLLIN}};
    if (wait_for(a, p, 2, nothing_to_undo) == AGAIN)
        return AGAIN;
    errno = EAGAIN;
    return FAILED;
}

/* Off the fast path: something is parked, or another thread leads. */
static int among_others(struct attempt *a, bool led_already)
{
    pps_signals_block(&a->signals); /* what wakes this thread may come to nothing */
    learn_listener(a);
    if (a->nonblocking)
        return without_blocking(a);
    return led_already ? lead(a) : follow(a);
}

/* --- what others call --- */

static void join_crowd(struct attempt *a)
{
    unsigned end = atomic_load(&crowds_end);
    while (end <= a->l.index && !atomic_compare_exchange_weak(&crowds_end, &end, a->l.index + 1u))
        ;
    a->crowd = &crowds[a->l.index];
}

/* The server was told of a connection that may be a bare probe or a silent peer. It gets what is ready, or an error of
   the kind accept(2) has for connections that went away meanwhile. */
static int without_waiting(struct attempt *a)
{
    int fd = from_parked(a);
    if (fd != AGAIN)
        return fd;
    if (pps_settle_is_readable(a->listener_fd))
        return from_kernel(a, false);
    learn_listener(a);
    errno = a->nonblocking ? EAGAIN : ECONNABORTED;
    return FAILED;
}

static int next_connection(struct attempt *a)
{
    struct pps_conn held;
    if (pps_place_take(&a->l, a->flags, &held)) {
        int fd = deliver(a, &held);
        a->must_not_wait |= fd == AGAIN; /* a wait told the server of this one, and it is gone */
        return fd;
    }
    if (a->must_not_wait)
        return without_waiting(a);
    if (leading == a->crowd)
        return among_others(a, true);
    if (!try_to_lead(a->crowd))
        return among_others(a, false);
    int fd = pps_park_waiting(&a->l) ? among_others(a, true) : lead(a);
    resign(a);
    return fd;
}

static int governed(struct attempt *a)
{
    join_crowd(a);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &a->cancel_state);
    if (!a->begun)
        a->must_not_wait |= pps_place_accepting(&a->l, a->flags);
    a->begun = true;
    int fd = next_connection(a);
    cancel_as_called(a);
    return fd;
}

/* The kernel's own checks of the address arguments, which it makes after it took a connection; of a governed listener
   we make them before. */
static int check_buffer(const struct sockaddr *sa, const socklen_t *len)
{
    if (!sa)
        return 0;
    return !len ? EFAULT : (int)*len < 0 ? EINVAL : 0;
}

/* As the kernel ends it: bad arguments cost the connection. */
static int hand_out_as_it_is(const struct attempt *a, int fd, const struct sockaddr_storage *peer, socklen_t len)
{
    int refusal = check_buffer(a->sa, a->len);
    pps_closed_unseen(fd);
    if (refusal) {
        real_close(fd);
        errno = refusal;
        return FAILED;
    }
    if (a->sa)
        pps_answer_copy(peer, len, a->sa, a->len);
    pps_listener_mark(fd, PPS_FD_OTHER);
    return fd;
}

/* What looked like no listener may answer accept all the same: its number was reused behind our back. Nothing is
   written to the caller's buffer before it is known whose connection this is. */
static int not_known_to_listen(struct attempt *a)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    unsigned forks = pps_process_forks();
    int fd = real_accept4(a->listener_fd, (struct sockaddr *)&peer, &len, a->flags);
    if (fd < 0)
        return FAILED;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &a->cancel_state);
    if (pps_listener_recheck(a->listener_fd, &a->l) != PPS_FD_GOVERNED || check_buffer(a->sa, a->len)) {
        fd = hand_out_as_it_is(a, fd, &peer, len);
    } else {
        pps_watch_adopt(a->listener_fd, &a->l);
        fd = take_in(a, fd, &peer, len, forks);
    }
    cancel_as_called(a);
    return fd;
}

static int ungoverned(struct attempt *a, enum pps_fd_kind kind)
{
    pps_signals_restore(&a->signals);
    if (kind != PPS_FD_UNGOVERNED)
        return not_known_to_listen(a);
    int fd = real_accept4(a->listener_fd, a->sa, a->len, a->flags);
    if (fd < 0)
        return FAILED;
    pps_closed_unseen(fd);
    pps_listener_mark(fd, PPS_FD_OTHER);
    return fd;
}

/* An epoll that holds it may be inherited too: then that wait told the server what the kernel said. */
static void adopt_inherited(struct attempt *a)
{
    pps_watch_adopt(a->listener_fd, &a->l);
    a->must_not_wait = pps_watch_any(&a->l);
}

int pps_accept4(int listener_fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    struct attempt a = {.listener_fd = listener_fd, .sa = sa, .len = len, .flags = flags, .started = pps_now()};
    /* Of a number never met, a wait before this call may have told what the kernel said: once that connection turned
       out to be of no use, there is nothing to wait for. */
    enum pps_fd_kind met = pps_listener_kind(listener_fd);
    bool unmet = met == PPS_FD_UNKNOWN;
    int saved = errno, fd;
    pps_process_notice_fork();
    if (pps_park_soonest() <= a.started)
        pps_settle_expire();
    do {
        enum pps_fd_kind kind = pps_listener_find(listener_fd, &a.l);
        if (kind == PPS_FD_GOVERNED && (errno = check_buffer(sa, len)) != 0)
            return FAILED;
        if (kind == PPS_FD_GOVERNED && met == PPS_FD_INHERITED)
            adopt_inherited(&a);
        met = kind;
        fd = kind == PPS_FD_GOVERNED ? governed(&a) : ungoverned(&a, kind);
        if (fd == AGAIN) {
            learn_listener(&a);
            a.must_not_wait |= unmet;
        }
    } while (fd == AGAIN);
    pps_signals_restore(&a.signals);
    if (fd >= 0)
        errno = saved;
    return fd;
}

bool pps_accept_is_inside(unsigned index)
{
    return atomic_load(&crowds[index].led) || atomic_load(&crowds[index].followers);
}

void pps_accept_after_fork(void)
{
    for (struct crowd *c = crowds; c < crowds + atomic_load(&crowds_end); c++) {
        atomic_store(&c->followers, 0);
        atomic_store(&c->led, false);
    }
    leading = NULL;
}
