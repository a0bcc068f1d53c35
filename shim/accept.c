/* SPDX-License-Identifier: MIT
 *
 * accept.c: where connections come from: straight from the kernel while nothing is parked, else from whichever is ready
 * first, a parked connection or the listener.
 *
 * Threads that block in accept on one listener must between them watch both. Those inside the real call watch the
 * listener. One, the leader, watches the parked connections, and the listener too while nobody is inside; whoever is
 * last to leave the real call wakes it to do so. The rest follow: they wait for the leader to hand on. The two counts
 * are looked at after one's own is changed (both sides sequentially consistent), so that no two threads can miss each
 * other. Across processes nothing watches another's parked connections, and O_NONBLOCK is never touched: it belongs to
 * the listener's other owners too.
 *
 * Cancellation is off except where accept waits. Nothing is locked while it waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <ppshim/accept.h>
#include <ppshim/admit.h>
#include <ppshim/answer.h>
#include <ppshim/deadline.h>
#include <ppshim/guard.h>
#include <ppshim/park.h>
#include <ppshim/real.h>
#include <ppshim/settle.h>
#include <ppshim/state.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

/* The threads of this process inside accept on one listener. Counts of a parent's threads mean nothing in its child. */
static struct crowd {
    _Atomic unsigned in_kernel; /* in the real call, or about to enter it */
    _Atomic unsigned followers;
    atomic_bool led;
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
    int cancel_state; /* the caller's */
    unsigned forks;   /* when it counted itself in: a handler may fork, and the child return from it into this call */
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

static int deliver(const struct attempt *a, struct pps_conn *c)
{
    struct sockaddr_storage ss;
    if (a->sa && c->has_client) {
        if (!pps_answer_fits(&c->client, a->l.inet6 ? AF_INET6 : AF_INET, *a->len)) {
            pps_admit_close(c, PPS_REASON_CLIENT_NEEDS_INET6);
            return AGAIN;
        }
        pps_answer_copy(&ss, pps_addr_to_sockaddr(&c->client.addr, c->client.form, &ss), a->sa, a->len);
    } else if (a->sa) {
        pps_answer_copy(&c->peer_raw, c->peer_raw_len, a->sa, a->len);
    }
    pps_listener_mark(c->fd, PPS_FD_OTHER);
    return c->fd;
}

/* A connection fresh from the kernel. */
static int take_in(const struct attempt *a, int fd, const struct sockaddr_storage *peer, socklen_t len)
{
    struct pps_conn c;
    bool ready = pps_settle_take_in(&a->l, fd, (const struct sockaddr *)peer, len, a->flags, &c);
    return ready ? deliver(a, &c) : AGAIN;
}

/* --- from the kernel --- */

static void enter_kernel(struct attempt *a)
{
    a->forks = pps_process_forks();
    atomic_fetch_add(&a->crowd->in_kernel, 1);
}

static void leave_kernel(void *attempt)
{
    const struct attempt *a = attempt;
    if (a->forks != pps_process_forks())
        return;
    if (atomic_fetch_sub(&a->crowd->in_kernel, 1) == 1 && atomic_load(&a->crowd->led))
        pps_park_ring_bell(&a->l); /* nobody watches the listener any more: the leader must */
}

/* The real call, after enter_kernel. */
static int accept_and_leave_kernel(struct attempt *a)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    int fd, why;
    pthread_cleanup_push(leave_kernel, a);
    cancel_as_called(a);
    fd = real_accept4(a->listener_fd, (struct sockaddr *)&peer, &len, a->flags);
    cancel_off();
    why = errno;
    pthread_cleanup_pop(1);
    if (fd >= 0)
        return take_in(a, fd, &peer, len);
    struct pps_conn oldest;
    if (why == EMFILE && pps_park_waiting(&a->l) && pps_park_evict(&oldest)) {
        pps_admit_close(&oldest, PPS_REASON_TOO_MANY_PENDING); /* parked peers must not cost the server a live one */
        return AGAIN;
    }
    errno = why;
    return FAILED;
}

/* --- among parked connections --- */

/* The next one that leaves, if any. AGAIN: none, and *fds, if asked for, says what to sleep on (park.h). */
static int from_parked(const struct attempt *a, struct pps_park_fds *fds)
{
    struct pps_conn c;
    enum pps_reason reason;
    for (;;) {
        int fd;
        switch (pps_park_next(&a->l, a->flags, &c, &reason, fds)) {
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

/* accept(2) restarts after a handler installed with SA_RESTART, but which one ran is not told: all must have it. */
static bool every_handler_restarts(void)
{
    struct sigaction sa;
    for (int sig = 1; sig < NSIG; sig++)
        if (sigaction(sig, NULL, &sa) == 0 && sa.sa_handler != SIG_DFL && sa.sa_handler != SIG_IGN &&
            !(sa.sa_flags & SA_RESTART))
            return false;
    return true;
}

/* SO_RCVTIMEO of the listener bounds accept (socket(7)). */
static uint64_t listener_deadline(const struct attempt *a)
{
    struct timeval t = {0};
    socklen_t len = sizeof t;
    getsockopt(a->listener_fd, SOL_SOCKET, SO_RCVTIMEO, &t, &len);
    uint64_t ns = (uint64_t)t.tv_sec * PPS_SECOND + (uint64_t)t.tv_usec * 1000;
    return ns ? a->started + ns : PPS_NEVER;
}

/* What to sleep on: some descriptors, or a door (park.h). */
struct bed {
    struct pollfd *fds;
    nfds_t n;
    int door; /* -1: the descriptors */
    struct epoll_event event;
};

static int sleep_in(struct bed *bed, int ms)
{
    return bed->door < 0 ? real_poll(bed->fds, bed->n, ms) : real_epoll_wait(bed->door, &bed->event, 1, ms);
}

/* Waits with cancellation as the caller has it; `on_cancel` undoes what others rely on. AGAIN: something is ready or a
   signal that restarts came. */
static int wait_in(struct attempt *a, struct bed *bed, void (*on_cancel)(void *))
{
    int ready;
    pthread_cleanup_push(on_cancel, a);
    cancel_as_called(a);
    ready = sleep_in(bed, pps_milliseconds_left(a->give_up));
    cancel_off();
    pthread_cleanup_pop(0);
    if (ready > 0)
        return AGAIN;
    if (ready < 0)
        return errno == EINTR && a->give_up == PPS_NEVER && every_handler_restarts() ? AGAIN : (errno = EINTR, FAILED);
    if (pps_milliseconds_left(a->give_up) != 0) /* the kernel rounds its own way */
        return AGAIN;
    errno = EAGAIN;
    return FAILED;
}

static int wait_for(struct attempt *a, struct pollfd *fds, nfds_t n, void (*on_cancel)(void *))
{
    struct bed bed = {.fds = fds, .n = n, .door = -1};
    return wait_in(a, &bed, on_cancel);
}

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
    atomic_store(&a->crowd->led, false);
    leading = NULL;
    if (atomic_load(&a->crowd->followers))
        pps_park_pass_baton(&a->l);
}

static void start_following(struct attempt *a)
{
    a->forks = pps_process_forks();
    atomic_fetch_add(&a->crowd->followers, 1);
}

static void stop_following(void *attempt)
{
    const struct attempt *a = attempt;
    if (a->forks == pps_process_forks())
        atomic_fetch_sub(&a->crowd->followers, 1);
}

/* Processes that share the listener wait for it too. Exclusive, so that the kernel wakes one of them for one connection
   and not all, most to find it gone and sleep in the real call, where nobody watches what they have parked. */
static void open_door(int door, int listener_fd)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = PPS_DOOR_LISTENER};
    real_epoll_ctl(door, EPOLL_CTL_ADD, listener_fd, &e);
}

/* true when this thread is the one to enter the kernel, and counted in. */
static bool may_enter(struct attempt *a)
{
    struct pollfd p = {.fd = a->listener_fd, .events = POLLIN};
    if (pps_process_may_share() && real_poll(&p, 1, 0) == 0) /* another process was quicker */
        return false;
    enter_kernel(a);
    if (atomic_load(&a->crowd->in_kernel) == 1)
        return true;
    leave_kernel(a); /* somebody is there already */
    return false;
}

/* Watches the parked connections, and the listener unless others do. Has the lead only while it waits. It alone answers
   the bell: anybody else would take from it a word that it still sleeps on. */
static int lead(struct attempt *a, const struct pps_park_fds *fds, bool nested)
{
    struct bed bed = {.door = fds->door, .event.data.u64 = PPS_DOOR_PARKED};
    bool alone = atomic_load(&a->crowd->in_kernel) == 0, inside = false;
    if (alone)
        open_door(fds->door, a->listener_fd);
    int result = wait_in(a, &bed, resign), why = errno;
    if (alone)
        real_epoll_ctl(fds->door, EPOLL_CTL_DEL, a->listener_fd, NULL);
    if (result == AGAIN && bed.event.data.u64 == PPS_DOOR_BELL)
        pps_park_answer_bell(&a->l);
    if (result == AGAIN && bed.event.data.u64 == PPS_DOOR_LISTENER)
        inside = may_enter(a);
    if (!nested)
        resign(a);
    errno = why;
    return inside ? accept_and_leave_kernel(a) : result;
}

/* Waits until the leader hands on. */
static int follow(struct attempt *a, const struct pps_park_fds *fds)
{
    struct pollfd p = {.fd = fds->baton, .events = POLLIN};
    int result = AGAIN, why = 0;
    start_following(a);
    if (atomic_load(&a->crowd->led)) {
        result = wait_for(a, &p, 1, stop_following);
        why = errno;
        if (result == AGAIN)
            pps_park_take_baton(&a->l);
    }
    stop_following(a);
    if (result == FAILED && atomic_load(&a->crowd->followers))
        pps_park_pass_baton(&a->l); /* the word may have been for us: one too many does no harm */
    errno = why;
    return result;
}

/* When nothing is parked any more nobody will lead: those who follow must be told, one by the other. */
static void release_followers(const struct attempt *a)
{
    int saved = errno;
    if (!pps_park_waiting(&a->l) && atomic_load(&a->crowd->followers))
        pps_park_pass_baton(&a->l);
    errno = saved;
}

static void nothing_to_undo(void *attempt)
{
    (void)attempt;
}

/* The listener is non-blocking. A server that waits for it where we see it will be woken when a header completes; for
   one that waits by other means (raw system calls, io_uring) the header is waited for here, PPSHIM_TIMEOUT at most,
   unless somebody else is ready first. */
static int without_blocking(struct attempt *a, const struct pps_park_fds *fds)
{
    enter_kernel(a);
    int fd = accept_and_leave_kernel(a);
    if (fd != FAILED || errno != EAGAIN || pps_settle_is_seen(&a->l))
        return fd;
    struct pollfd p[2] = {{.fd = fds->door, .events = POLLIN}, {.fd = a->listener_fd, .events = POLLIN}};
    if (wait_for(a, p, 2, nothing_to_undo) == AGAIN)
        return AGAIN;
    errno = EAGAIN;
    return FAILED;
}

/* What of the listener matters only when something is parked, asked once a call. */
static void learn_listener(struct attempt *a)
{
    if (a->learned)
        return;
    a->learned = true;
    a->nonblocking = fcntl(a->listener_fd, F_GETFL) & O_NONBLOCK;
    a->give_up = a->nonblocking ? a->started + (uint64_t)pps_config.timeout_ms * 1000000 : listener_deadline(a);
}

/* Nothing is parked, or was a moment ago. Of a call that has met connections of no use before, SO_RCVTIMEO bounds the
   whole, not each. */
static int from_kernel(struct attempt *a)
{
    struct pollfd p = {.fd = a->listener_fd, .events = POLLIN};
    if (a->learned && !a->nonblocking && a->give_up != PPS_NEVER && wait_for(a, &p, 1, nothing_to_undo) == FAILED)
        return FAILED;
    enter_kernel(a);
    if (!pps_park_waiting(&a->l))
        return accept_and_leave_kernel(a);
    leave_kernel(a);
    return AGAIN;
}

static int sleep_among(struct attempt *a, const struct pps_park_fds *fds)
{
    learn_listener(a);
    if (a->nonblocking)
        return without_blocking(a, fds);
    bool nested = leading == a->crowd;
    return nested || try_to_lead(a->crowd) ? lead(a, fds, nested) : follow(a, fds);
}

static void get_up(void *attempt)
{
    const struct attempt *a = attempt;
    int saved = errno;
    pps_park_get_up(&a->l);
    errno = saved;
}

static int among_parked(struct attempt *a)
{
    struct pps_park_fds fds;
    int fd = from_parked(a, &fds);
    if (fd != AGAIN || fds.door < 0)
        return fd;
    pthread_cleanup_push(get_up, a);
    fd = sleep_among(a, &fds);
    pthread_cleanup_pop(1);
    return fd;
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
    struct pollfd p = {.fd = a->listener_fd, .events = POLLIN};
    int fd = from_parked(a, NULL);
    if (fd != AGAIN)
        return fd;
    if (real_poll(&p, 1, 0) == 1) {
        enter_kernel(a);
        return accept_and_leave_kernel(a);
    }
    learn_listener(a);
    errno = a->nonblocking ? EAGAIN : ECONNABORTED;
    return FAILED;
}

static int next_connection(struct attempt *a)
{
    struct pps_conn held;
    if (pps_settle_take(&a->l, a->flags, &held)) {
        int fd = deliver(a, &held);
        a->must_not_wait |= fd == AGAIN; /* a wait told the server of this one, and it is gone */
        return fd;
    }
    if (a->must_not_wait)
        return without_waiting(a);
    if (pps_park_waiting(&a->l))
        return among_parked(a);
    release_followers(a);
    return from_kernel(a);
}

static int governed(struct attempt *a)
{
    join_crowd(a);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &a->cancel_state);
    if (!a->begun)
        a->must_not_wait = pps_settle_accepting(&a->l, a->flags);
    a->begun = true;
    int fd = next_connection(a);
    release_followers(a);
    cancel_as_called(a);
    return fd;
}

/* What looked like no governed listener answered accept all the same: its number was reused behind our back. */
static int found_late(struct attempt *a, int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    if (real_getpeername(fd, (struct sockaddr *)&peer, &len) != 0) {
        real_close(fd);
        return AGAIN;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &a->cancel_state);
    fd = take_in(a, fd, &peer, len);
    cancel_as_called(a);
    return fd;
}

static int ungoverned(struct attempt *a, enum pps_fd_kind kind)
{
    int fd = real_accept4(a->listener_fd, a->sa, a->len, a->flags);
    if (fd < 0)
        return FAILED;
    if (kind != PPS_FD_UNGOVERNED && pps_listener_recheck(a->listener_fd, &a->l) == PPS_FD_GOVERNED)
        return found_late(a, fd);
    pps_listener_mark(fd, PPS_FD_OTHER);
    return fd;
}

/* The kernel's own checks of the address arguments, which it makes after it took a connection; we make them before. */
static int check_buffer(const struct sockaddr *sa, const socklen_t *len)
{
    if (!sa)
        return 0;
    return !len ? EFAULT : (int)*len < 0 ? EINVAL : 0;
}

int pps_accept4(int listener_fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    struct attempt a = {.listener_fd = listener_fd, .sa = sa, .len = len, .flags = flags, .started = pps_now()};
    int saved = errno, fd;
    pps_process_notice_fork();
    do {
        enum pps_fd_kind kind = pps_listener_find(listener_fd, &a.l);
        if (kind == PPS_FD_GOVERNED && (errno = check_buffer(sa, len)) != 0)
            return FAILED;
        fd = kind == PPS_FD_GOVERNED ? governed(&a) : ungoverned(&a, kind);
        if (fd == AGAIN)
            learn_listener(&a);
    } while (fd == AGAIN);
    if (fd >= 0)
        errno = saved;
    return fd;
}

void pps_accept_after_fork(void)
{
    for (struct crowd *c = crowds; c < crowds + atomic_load(&crowds_end); c++) {
        atomic_store(&c->in_kernel, 0);
        atomic_store(&c->followers, 0);
        atomic_store(&c->led, false);
    }
    leading = NULL;
}
