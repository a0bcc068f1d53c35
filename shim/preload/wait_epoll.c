/* SPDX-License-Identifier: MIT
 *
 * wait_epoll.c: epoll_wait told the truth (wait.h).
 *
 * The private epoll stands in the server's epoll with its listener's data (interest.h), so an event with that data
 * means that one of the two fired. Such events are settled before the server sees them. Those that come to nothing are
 * taken out of the array; the wait goes on when none is left.
 */
#include <errno.h>
#include <poll.h>
#include <ppshim/acquire.h>
#include <ppshim/deadline.h>
#include <ppshim/fd_close.h>
#include <ppshim/held.h>
#include <ppshim/interest.h>
#include <ppshim/lock.h>
#include <ppshim/parked.h>
#include <ppshim/real.h>
#include <ppshim/signals.h>
#include <ppshim/wait.h>
#include <pthread.h>
#include <stdatomic.h>

#define READABLE (EPOLLIN | EPOLLRDNORM)
#define PATIENCE 16 /* rounds of one wait that came to nothing */
#define NAP (PPS_SECOND / 1000)

/* One epoll_wait of whichever kind. */
struct wait {
    int epfd;
    struct epoll_event *events;
    int max, told;
    int (*sleep)(const struct wait *w, uint64_t left);
    uint64_t deadline;
    struct pps_signals signals;
};

static int sleep_milliseconds(const struct wait *w, uint64_t left)
{
    int ms = pps_milliseconds(left);
    return w->signals.mask ? real_epoll_pwait(w->epfd, w->events, w->max, ms, w->signals.mask)
                           : real_epoll_wait(w->epfd, w->events, w->max, ms);
}

static int sleep_nanoseconds(const struct wait *w, uint64_t left)
{
    struct timespec t = pps_timespec(left);
    return real_epoll_pwait2(w->epfd, w->events, w->max, left == PPS_NEVER ? NULL : &t, w->signals.mask);
}

/* --- the array --- */

/* Takes the listener's events out of the array, but for what is no readability. true: it was said to be readable. */
static bool take_readable(struct wait *w, uint64_t data)
{
    bool said = false;
    int kept = 0;
    for (int i = 0; i < w->told; i++) {
        struct epoll_event e = w->events[i];
        if (e.data.u64 == data && (e.events & READABLE)) {
            said = true;
            e.events &= ~READABLE;
            if (!e.events)
                continue;
        }
        w->events[kept++] = e;
    }
    w->told = kept;
    return said;
}

/* Puts readability back, into an event that is there or a new one. false: the array is full. */
static bool put_readable(struct wait *w, const struct pps_watch *watch)
{
    int i = 0;
    while (i < w->told && w->events[i].data.u64 != watch->data)
        i++;
    if (i == w->max)
        return false;
    if (i == w->told)
        w->events[w->told++] = (struct epoll_event){.data.u64 = watch->data};
    w->events[i].events |= watch->events & READABLE;
    return true;
}

/* --- settling --- */

/* An event of an edge-triggered or one-shot registration does not come again by itself: armed anew, the kernel raises
   it for whoever waits next. An exclusive one cannot be, so this epoll's next wait looks by itself. */
static void come_again(const struct pps_watch *watch)
{
    if (watch->events & (EPOLLET | EPOLLONESHOT))
        pps_watch_set_owed(watch, !pps_watch_rearm(watch));
}

/* The event comes to nothing. `more`: there may be something after all. */
static void drop(const struct pps_watch *watch, bool said, bool more)
{
    if (pps_watch_owed(watch))
        pps_watch_set_owed(watch, false);
    if (more || (said && (watch->events & EPOLLONESHOT)))
        come_again(watch);
}

/* A one-shot event is told by whoever spends it, and only while what it tells of is still there. */
static void tell(struct wait *w, const struct pps_watch *watch, bool held)
{
    bool one_shot = watch->events & EPOLLONESHOT;
    pps_watch_set_owed(watch, false);
    if (one_shot && !pps_watch_spend(watch))
        return;
    if (one_shot && held && !pps_place_holds(&watch->listener))
        pps_watch_rearm(watch);
    else if (!put_readable(w, watch))
        come_again(watch);
}

static bool due(const struct pps_watch *watch)
{
    if (watch->spent || !(watch->events & READABLE))
        return false;
    if (pps_watch_owed(watch))
        return true;
    if (!watch->listener.generation)
        return pps_epoll_is_due(watch->fd);
    return !(watch->events & EPOLLET) && pps_place_holds(&watch->listener);
}

bool pps_epoll_is_due(int epfd)
{
    struct pps_watch watch;
    unsigned cursor = 0;
    while (pps_watch_next(epfd, &cursor, &watch))
        if (due(&watch))
            return true;
    return false;
}

/* Of what the kernel did not say just now. Epoll, or listener, may have been closed where nobody saw it. */
static bool is_there(const struct pps_watch *watch)
{
    if (pps_watch_is_there(watch))
        return true;
    pps_listener_closed_unseen(watch->fd, &watch->listener);
    return false;
}

bool pps_epoll_is_ready(int epfd)
{
    struct pps_watch watch;
    struct pollfd inner = {.fd = epfd, .events = POLLIN};
    unsigned cursor = 0;
    while (pps_watch_next(epfd, &cursor, &watch)) {
        if (watch.spent || !(watch.events & READABLE) || !is_there(&watch))
            continue;
        pps_watch_set_owed(&watch, false);
        if (!watch.listener.generation) {
            if (pps_epoll_is_ready(watch.fd)) /* five deep at most, says the kernel */
                return true;
            continue;
        }
        if (pps_place_holds(&watch.listener) || pps_settle(&watch.listener, watch.fd, false, NULL) == PPS_SETTLED_READY)
            return true;
    }
    return real_poll(&inner, 1, 0) == 1;
}

/* An epoll inside this one. */
static enum pps_settled resolve_nested(struct wait *w, const struct pps_watch *watch)
{
    bool owed = due(watch), said = take_readable(w, watch->data);
    if (watch->spent || (!said && !owed) || (!said && !is_there(watch)))
        return PPS_SETTLED_NOTHING;
    if (pps_epoll_is_ready(watch->fd) || (said && pps_watch_shares_data(watch)))
        tell(w, watch, false);
    else
        drop(watch, said, false);
    return PPS_SETTLED_NOTHING;
}

static enum pps_settled settle(struct wait *w, const struct pps_watch *watch, bool said, bool may_settle)
{
    if (pps_place_holds(&watch->listener))
        return PPS_SETTLED_READY;
    if (!may_settle)
        return PPS_SETTLED_MORE;
    /* With a private epoll beside it, it may not have been the listener that fired. */
    bool certain = said && pps_watch_private(&watch->listener) < 0;
    return pps_settle(&watch->listener, watch->fd, certain, &w->signals);
}

static enum pps_settled resolve_one(struct wait *w, const struct pps_watch *watch, bool may_settle)
{
    if (!watch->listener.generation)
        return resolve_nested(w, watch);
    bool owed = due(watch), said = take_readable(w, watch->data);
    if (watch->spent || (!said && !owed)) /* spent: the other half of a one-shot that somebody was told of */
        return PPS_SETTLED_NOTHING;
    if (!said && !is_there(watch))
        return PPS_SETTLED_NOTHING;
    enum pps_settled settled = settle(w, watch, said, may_settle);
    if (settled == PPS_SETTLED_READY || settled == PPS_SETTLED_ERROR || (settled == PPS_SETTLED_PASS && said))
        tell(w, watch, settled == PPS_SETTLED_READY);
    else if (said && settled != PPS_SETTLED_GONE && pps_watch_shares_data(watch))
        tell(w, watch, false); /* it may be the other's; from now on all is told that the kernel says */
    else
        drop(watch, said, settled == PPS_SETTLED_MORE || settled == PPS_SETTLED_SIGNAL);
    return settled;
}

static unsigned count_watches(int epfd)
{
    struct pps_watch watch;
    unsigned count = 0, cursor = 0;
    while (pps_watch_next(epfd, &cursor, &watch))
        count++;
    return count;
}

/* At most one connection is taken from the kernel a wait; see wait_poll.c. false: a signal ends the wait. */
static bool resolve(struct wait *w)
{
    static _Atomic unsigned turn;
    struct pps_watch watch;
    bool may_settle = true, signalled = false;
    unsigned count = count_watches(w->epfd);
    unsigned first = count ? atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed) % count : 0;
    for (unsigned round = 0; round < 2; round++) {
        unsigned cursor = 0;
        for (unsigned i = 0; pps_watch_next(w->epfd, &cursor, &watch); i++) {
            if ((i >= first) != (round == 0) || !(watch.events & READABLE))
                continue;
            enum pps_settled settled = resolve_one(w, &watch, may_settle);
            may_settle &= settled != PPS_SETTLED_READY && settled != PPS_SETTLED_SIGNAL;
            signalled |= settled == PPS_SETTLED_SIGNAL;
        }
    }
    return !signalled;
}

static bool peers_are_silent(int epfd)
{
    struct pps_watch watch;
    unsigned cursor = 0;
    while (pps_watch_next(epfd, &cursor, &watch))
        if (watch.listener.generation && pps_park_waiting(&watch.listener))
            return true;
    return false;
}

/* An epoll that was shared by fork may hold the private epoll of the process it was shared with, which stays readable
   until that process sees to it: nothing to settle, nothing to mute. Rather late than spinning. false: a signal came.
 */
static bool rest_from_others_events(const struct wait *w, unsigned rounds)
{
    uint64_t left = pps_time_left(w->deadline);
    struct timespec nap = pps_timespec(left < NAP ? left : NAP);
    return rounds < PATIENCE || !pps_process_has_family() || real_ppoll(NULL, 0, &nap, w->signals.mask) == 0;
}

static int wait_and_resolve(struct wait *w)
{
    unsigned rounds = 0;
    for (bool wary = peers_are_silent(w->epfd);; wary = true) {
        uint64_t expiry = pps_settle_expire();
        bool hurry = pps_epoll_is_due(w->epfd);
        int cancel_state;
        if (wary || expiry != PPS_NEVER)
            pps_signals_block(&w->signals);
        w->told = w->sleep(w, hurry ? 0 : pps_time_left(expiry < w->deadline ? expiry : w->deadline));
        if (w->told < 0 || (w->told == 0 && !hurry && w->deadline <= expiry))
            return w->told;
        if (w->told == 0 && !hurry)
            continue;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
        bool undisturbed = resolve(w);
        pthread_setcancelstate(cancel_state, NULL);
        if (!w->told && !undisturbed) {
            errno = EINTR;
            return -1;
        }
        if (w->told || pps_time_left(w->deadline) == 0)
            return w->told;
        if (!rest_from_others_events(w, rounds++))
            return -1;
    }
}

static void restore(void *wait)
{
    pps_signals_restore(&((struct wait *)wait)->signals);
}

static int run(struct wait *w)
{
    int saved = errno, result;
    pps_process_notice_fork();
    pthread_cleanup_push(restore, w);
    result = wait_and_resolve(w);
    pthread_cleanup_pop(1);
    if (result >= 0)
        errno = saved;
    return result;
}

/* --- what others call --- */

bool pps_epoll_concerns(int epfd)
{
    return pps_listener_kind(epfd) == PPS_FD_EPOLL;
}

int pps_epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout_ms, const sigset_t *mask)
{
    struct timespec t = pps_timespec(timeout_ms < 0 ? 0 : (uint64_t)timeout_ms * 1000000);
    struct wait w = {.epfd = epfd,
                     .events = events,
                     .max = max,
                     .sleep = sleep_milliseconds,
                     .deadline = pps_deadline_after(timeout_ms < 0 ? NULL : &t),
                     .signals.mask = mask};
    return run(&w);
}

int pps_epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
                     const sigset_t *mask)
{
    struct wait w = {.epfd = epfd,
                     .events = events,
                     .max = max,
                     .sleep = sleep_nanoseconds,
                     .deadline = pps_deadline_after(timeout),
                     .signals.mask = mask};
    return run(&w);
}
