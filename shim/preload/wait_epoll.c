/* SPDX-License-Identifier: MIT
 *
 * wait_epoll.c: epoll_wait told the truth (wait.h).
 *
 * The private epoll stands in the server's epoll with its listener's data (interest.h), so an event with that data
 * means that one of the two fired; late connections are watched beside the epoll. What fired is acquired before the
 * server sees it. Events that come to nothing are taken out of the array; the wait goes on when none is left.
 */
#include "acquire.h"
#include "interest.h"
#include "process.h"
#include "survey.h"
#include "wait.h"
#include <errno.h>
#include <ppshim/deadline.h>
#include <ppshim/quiet.h>
#include <ppshim/real.h>
#include <pthread.h>
#include <string.h>

#define READABLE (EPOLLIN | EPOLLRDNORM)
#define SAID_BY_ONE 4 /* of the two, listener and private epoll: which is not told */
#define PATIENCE 16   /* rounds of one wait that came to nothing */
#define NAP (PPS_SECOND / 1000)

/* One epoll_wait of whichever kind. */
struct wait {
    int epfd;
    struct epoll_event *events;
    int max, told;
    int (*sleep)(const struct wait *w, uint64_t left);
    uint64_t deadline;
    struct pps_signals signals;
    struct pps_survey survey;
    bool again;      /* something came to nothing: what the kernel has may be more */
    unsigned proven; /* index, plus one, of a registration that the kernel told of in this call */
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

static int sleep_beside_late(struct wait *w, uint64_t left)
{
    struct pps_late *late = &w->survey.late;
    struct pollfd set[1 + PPS_LATE_MAX] = {{.fd = w->epfd, .events = POLLIN}};
    struct timespec t = pps_timespec(left);
    memcpy(set + 1, late->fds, late->count * sizeof *set);
    if (real_ppoll(set, 1 + late->count, &t, w->signals.mask) < 0)
        return -1;
    memcpy(late->fds, set + 1, late->count * sizeof *set);
    return set[0].revents || w->max <= 0 ? real_epoll_wait(w->epfd, w->events, w->max, 0) : 0;
}

static int sleep_until_something(struct wait *w)
{
    uint64_t left = pps_survey_sleep(&w->survey, w->deadline);
    pps_signals_sleep(&w->signals);
    int told = w->survey.late.count ? sleep_beside_late(w, left) : w->sleep(w, left);
    pps_signals_wake(&w->signals);
    return told;
}

/* --- the array --- */

static bool has_event(const struct wait *w, uint64_t data)
{
    for (int k = 0; k < w->told; k++)
        if (w->events[k].data.u64 == data)
            return true;
    return false;
}

/* Takes the listener's events out of the array, but for what is no readability. Returns who was said to be readable:
   acquire.h's, or SAID_BY_ONE. */
static unsigned take_readable(struct wait *w, const struct pps_interest *i)
{
    bool alike = !i->listener.generation || (i->events & PPS_INTEREST_PARKED);
    unsigned said = 0;
    int kept = 0;
    for (int k = 0; k < w->told; k++) {
        struct epoll_event e = w->events[k];
        if (e.data.u64 == i->data && (e.events & READABLE)) {
            said |= alike ? SAID_BY_ONE : e.events & PPS_INTEREST_PARKED ? PPS_SAID_PARKED : PPS_SAID_LISTENER;
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
static bool put_readable(struct wait *w, const struct pps_interest *i)
{
    int k = 0;
    while (k < w->told && w->events[k].data.u64 != i->data)
        k++;
    if (k == w->max)
        return false;
    if (k == w->told)
        w->events[w->told++] = (struct epoll_event){.data.u64 = i->data};
    w->events[k].events |= i->events & READABLE;
    return true;
}

/* --- what becomes of an event --- */

/* An event of an edge-triggered or one-shot registration does not come again by itself: armed anew, the kernel raises
   it for whoever waits next. An exclusive one cannot be, so this epoll's next wait looks by itself. */
static void come_again(const struct pps_interest *i)
{
    if (i->events & (EPOLLET | EPOLLONESHOT))
        pps_interest_set_owed(i, !pps_interest_rearm(i));
}

/* The event comes to nothing. `more`: there may be something after all. */
static void drop(const struct pps_interest *i, bool said, bool more)
{
    pps_interest_set_owed(i, false);
    if (more || (said && (i->events & EPOLLONESHOT)))
        come_again(i);
}

/* A one-shot event is told by whoever spends it, and only while what it tells of is still there. */
static void tell(struct wait *w, const struct pps_interest *i, bool said, bool held)
{
    bool one_shot = i->events & EPOLLONESHOT;
    pps_interest_set_owed(i, false);
    if (one_shot && !pps_interest_spend(i, said))
        return;
    if (one_shot && held && !pps_acquire_is_held(&i->listener))
        pps_interest_rearm(i);
    else if (!put_readable(w, i))
        come_again(i);
}

bool pps_epoll_is_ready(int epfd)
{
    struct pps_interest i;
    struct pollfd inner = {.fd = epfd, .events = POLLIN};
    unsigned cursor = 0;
    while (pps_interest_next(epfd, &cursor, &i)) {
        if (i.spent || !(i.events & READABLE))
            continue;
        pps_interest_set_owed(&i, false);
        if (i.listener.generation ? pps_acquire_is_held(&i.listener) ||
                                        pps_acquire(&i.listener, i.fd, 0, true, NULL) == PPS_ACQUIRED_READY
                                  : pps_epoll_is_ready(i.fd))
            return true;
    }
    return real_poll(&inner, 1, 0) == 1;
}

static enum pps_acquired resolve_listener(struct wait *w, const struct pps_interest *i, unsigned said, bool may_acquire)
{
    enum pps_acquired a = PPS_ACQUIRED_MORE;
    if (pps_acquire_is_held(&i->listener))
        a = PPS_ACQUIRED_READY;
    else if (may_acquire)
        a = pps_acquire(&i->listener, i->fd, said & ~(unsigned)SAID_BY_ONE, i->events & EPOLLET, &w->signals);
    if (a == PPS_ACQUIRED_READY || a == PPS_ACQUIRED_ERROR || (a == PPS_ACQUIRED_PASS && said))
        tell(w, i, said, a == PPS_ACQUIRED_READY);
    else
        drop(i, said, a == PPS_ACQUIRED_MORE || a == PPS_ACQUIRED_SIGNAL);
    w->again |= a == PPS_ACQUIRED_USELESS;
    return a;
}

static enum pps_acquired resolve_one(struct wait *w, const struct pps_interest *i, bool may_acquire)
{
    bool due = pps_survey_is_due(i);
    if (has_event(w, i->data) && !pps_interest_is_clear(i))
        return PPS_ACQUIRED_NOTHING;
    unsigned said = take_readable(w, i);
    if (said)
        w->proven = i->index + 1;
    if (i->spent || (!said && !due)) /* spent: the other half of a one-shot that somebody was told of */
        return PPS_ACQUIRED_NOTHING;
    if (w->proven != i->index + 1 && !pps_interest_verify(i))
        return PPS_ACQUIRED_NOTHING;
    if (i->listener.generation)
        return resolve_listener(w, i, said, may_acquire);
    if (pps_epoll_is_ready(i->fd))
        tell(w, i, said, false);
    else
        drop(i, said, false);
    return PPS_ACQUIRED_NOTHING;
}

static unsigned count_interests(int epfd)
{
    struct pps_interest i;
    unsigned count = 0, cursor = 0;
    while (pps_interest_next(epfd, &cursor, &i))
        count++;
    return count;
}

/* At most one connection is acquired a wait; see wait_poll.c. false: a signal ends the wait. */
static bool resolve(struct wait *w)
{
    static _Atomic unsigned turn;
    struct pps_interest i;
    struct pps_listener late;
    bool may_acquire = !pps_acquire_late(&w->survey.late, true, &late), signalled = false;
    if (!may_acquire)
        pps_interest_owe_edges(&late);
    unsigned count = count_interests(w->epfd);
    unsigned first = count > 1 ? atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed) % count : 0;
    for (unsigned round = 0; round < 2; round++) {
        unsigned cursor = 0;
        for (unsigned k = 0; pps_interest_next(w->epfd, &cursor, &i); k++) {
            if ((k >= first) != (round == 0) || !(i.events & READABLE))
                continue;
            enum pps_acquired a = resolve_one(w, &i, may_acquire);
            may_acquire &= a != PPS_ACQUIRED_READY && a != PPS_ACQUIRED_SIGNAL;
            signalled |= a == PPS_ACQUIRED_SIGNAL;
        }
    }
    return !signalled;
}

/* --- the wait --- */

/* An epoll that was shared by fork may hold the private epoll of the process it was shared with, which stays readable
   until that process sees to it: nothing to acquire, nothing to mute. Rather late than spinning. false: a signal came.
 */
static bool rest_from_others_events(struct wait *w, unsigned rounds)
{
    uint64_t left = pps_time_left(w->deadline);
    struct timespec nap = pps_timespec(left < NAP ? left : NAP);
    if (rounds < PATIENCE || !pps_process_has_family())
        return true;
    pps_signals_sleep(&w->signals);
    int rested = real_ppoll(NULL, 0, &nap, w->signals.mask);
    pps_signals_wake(&w->signals);
    return rested == 0;
}

static void look_around(struct wait *w)
{
    pps_survey_begin(&w->survey);
    pps_survey_epoll(&w->survey, w->epfd);
}

static bool is_over(const struct wait *w)
{
    return !w->again && pps_time_left(w->deadline) == 0;
}

static int wait_and_resolve(struct wait *w)
{
    unsigned rounds = 0;
    if (pps_late_is_any())
        pps_acquire_park_ambiguous();
    for (bool wary = false;; wary = true) {
        look_around(w);
        if (wary || w->survey.silent || w->survey.late.count)
            pps_signals_block(&w->signals);
        w->again = false;
        w->told = sleep_until_something(w);
        if (w->told < 0 || (w->told == 0 && !w->survey.due && !w->survey.late.count && is_over(w)))
            return w->told;
        int cancel_state = pps_cancel_off();
        pps_acquire_expire();
        bool undisturbed = resolve(w);
        pps_cancel_set(cancel_state);
        if (w->told || (undisturbed && is_over(w)))
            return w->told;
        if (!undisturbed) {
            errno = EINTR;
            return -1;
        }
        if (!rest_from_others_events(w, rounds++))
            return -1;
    }
}

static void leave(void *wait)
{
    struct wait *w = wait;
    int saved = errno;
    if (pps_late_is_any()) {
        look_around(w);
        pps_acquire_leave_late(&w->survey.late);
        errno = saved;
    }
    pps_signals_restore(&w->signals);
}

static int run(struct wait *w)
{
    int saved = errno, result;
    pps_process_notice_fork();
    pthread_cleanup_push(leave, w);
    result = wait_and_resolve(w);
    pthread_cleanup_pop(1);
    if (result >= 0)
        errno = saved;
    return result;
}

/* --- what others call --- */

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
