/* SPDX-License-Identifier: MIT
 *
 * wait_poll.c: poll told the truth (wait.h).
 *
 * The caller's descriptors are copied; the private epoll of each governed listener among them is added at the end, and
 * the late connections behind. What fired is acquired; when nothing came of it, the wait goes on with what is left of
 * the time.
 */
#include "acquire.h"
#include "interest.h"
#include "parked.h"
#include "process.h"
#include "scratch.h"
#include "survey.h"
#include "usage.h"
#include "wait.h"
#include <errno.h>
#include <ppshim/deadline.h>
#include <ppshim/quiet.h>
#include <ppshim/real.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define READABLE (POLLIN | POLLRDNORM)

struct listened {
    struct pps_listener l; /* generation 0: an epoll, which may hold listeners */
    nfds_t at;             /* in the caller's array */
};

/* One poll. */
struct wait {
    struct pollfd *all; /* n of the caller's, then one private epoll a listener, then the late ones */
    nfds_t n;
    struct listened *listeners;
    unsigned count;
    uint64_t deadline;
    struct pps_signals signals;
    struct pps_survey survey;
    bool again; /* something came to nothing: what the kernel has may be more */
};

static bool may_govern(const struct pollfd *p)
{
    return pps_fd_may_govern(p->fd) && (p->events & READABLE);
}

static unsigned count_candidates(const struct pollfd *fds, nfds_t n)
{
    unsigned count = 0;
    for (nfds_t i = 0; i < n; i++)
        count += may_govern(&fds[i]);
    return count;
}

static void gather(struct wait *w, const struct pollfd *fds)
{
    unsigned most = w->count;
    memcpy(w->all, fds, w->n * sizeof *fds);
    w->count = 0;
    for (nfds_t i = 0; i < w->n && w->count < most; i++) {
        struct listened one = {.at = i};
        if (!may_govern(&fds[i]))
            continue;
        enum pps_fd_kind kind = pps_listener_find(fds[i].fd, &one.l);
        if (kind == PPS_FD_GOVERNED)
            pps_usage_poll(pps_usage_of(&one.l));
        if (kind == PPS_FD_GOVERNED || kind == PPS_FD_EPOLL)
            w->listeners[w->count++] = one;
    }
}

/* Another thread may park a connection while this one sleeps: there must be an epoll to see it in. */
static int private_epoll(const struct pps_listener *l)
{
    if (pps_interest_private(l) < 0 && pps_process_has_threads())
        pps_parked_prepare(l);
    return pps_interest_private(l);
}

static void look_around(struct wait *w)
{
    pps_survey_begin(&w->survey);
    for (unsigned i = 0; i < w->count; i++) {
        struct listened *one = &w->listeners[i];
        int fd = w->all[one->at].fd;
        w->all[w->n + i] = (struct pollfd){.fd = -1, .events = POLLIN};
        one->l.generation = 0;
        switch (pps_listener_find(fd, &one->l)) { /* anew: the number may be another listener's since the last sleep */
        case PPS_FD_GOVERNED:
            pps_survey_listener(&w->survey, &one->l);
            w->all[w->n + i].fd = private_epoll(&one->l);
            w->survey.due |= pps_acquire_is_held(&one->l);
            break;
        case PPS_FD_EPOLL:
            pps_survey_epoll(&w->survey, fd);
            break;
        default:
            break;
        }
    }
}

static int sleep_until_something(struct wait *w)
{
    struct pps_late *late = &w->survey.late;
    struct pollfd *late_fds = w->all + w->n + w->count;
    uint64_t left = pps_survey_sleep(&w->survey, w->deadline);
    struct timespec t = pps_timespec(left), *timeout = left == PPS_NEVER ? NULL : &t;
    memcpy(late_fds, late->fds, late->count * sizeof *late_fds);
    pps_signals_sleep(&w->signals);
    int ready = real_ppoll(w->all, w->n + w->count + late->count, timeout, w->signals.mask);
    if (ready < 0 && errno == EINVAL) /* more entries than RLIMIT_NOFILE allows: without ours, then */
        ready = real_ppoll(w->all, w->n, timeout, w->signals.mask);
    pps_signals_wake(&w->signals);
    memcpy(late->fds, late_fds, late->count * sizeof *late_fds);
    return ready;
}

/* --- what becomes of an event --- */

static enum pps_acquired acquire(struct wait *w, const struct listened *one, unsigned said, bool may_acquire)
{
    if (pps_acquire_is_held(&one->l))
        return PPS_ACQUIRED_READY;
    if (!said || !may_acquire)
        return PPS_ACQUIRED_NOTHING;
    return pps_acquire(&one->l, w->all[one->at].fd, said, false, &w->signals);
}

/* What the kernel said of one listener becomes what accept would find. */
static enum pps_acquired resolve_one(struct wait *w, const struct listened *one, const struct pollfd *beside,
                                     bool may_acquire)
{
    struct pollfd *p = &w->all[one->at];
    short readable = p->revents & READABLE, asked = p->events & READABLE;
    if (!one->l.generation) {
        if (readable || pps_survey_epoll_is_due(p->fd))
            p->revents = (short)((p->revents & ~READABLE) | (pps_epoll_is_ready(p->fd) ? asked : 0));
        return PPS_ACQUIRED_NOTHING;
    }
    unsigned said = (readable ? PPS_SAID_LISTENER : 0u) | (beside->revents ? PPS_SAID_PARKED : 0u);
    enum pps_acquired a = acquire(w, one, said, may_acquire);
    p->revents &= ~READABLE;
    if (a == PPS_ACQUIRED_READY || a == PPS_ACQUIRED_ERROR)
        p->revents |= asked;
    else if (a == PPS_ACQUIRED_PASS)
        p->revents |= readable;
    w->again |= a == PPS_ACQUIRED_USELESS || a == PPS_ACQUIRED_MORE;
    return a;
}

/* At most one connection is acquired, whatever the number of listeners: what is held here is lost to the processes that
   share them. The others are still there at the next wait, and each is first in turn. */
static int resolve(struct wait *w)
{
    static _Atomic unsigned turn;
    struct pps_listener late;
    bool signalled = false, may_acquire = !pps_acquire_late(&w->survey.late, true, &late);
    unsigned first = atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed);
    int told = 0;
    for (unsigned k = 0; k < w->count && !signalled; k++) {
        unsigned i = (first + k) % w->count;
        enum pps_acquired a = resolve_one(w, &w->listeners[i], &w->all[w->n + i], may_acquire);
        may_acquire &= a != PPS_ACQUIRED_READY;
        signalled = a == PPS_ACQUIRED_SIGNAL;
    }
    for (nfds_t i = 0; i < w->n; i++)
        told += w->all[i].revents != 0;
    if (told || !signalled)
        return told;
    errno = EINTR;
    return -1;
}

/* --- the wait --- */

static int wait_and_resolve(struct wait *w)
{
    for (bool wary = false;; wary = true) {
        look_around(w);
        if (wary || w->survey.silent || w->survey.late.count)
            pps_signals_block(&w->signals);
        w->again = false;
        int ready = sleep_until_something(w);
        if (ready < 0)
            return ready;
        int cancel_state = pps_cancel_off();
        pps_acquire_expire();
        int told = ready || w->survey.due || w->survey.late.count ? resolve(w) : 0;
        pps_cancel_set(cancel_state);
        if (told || (!w->again && pps_time_left(w->deadline) == 0))
            return told;
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

static int wait_with_scratch(struct wait *w, struct pps_scratch *scratch)
{
    int result;
    pthread_cleanup_push(pps_scratch_release, scratch);
    pthread_cleanup_push(leave, w);
    result = wait_and_resolve(w);
    pthread_cleanup_pop(1);
    pthread_cleanup_pop(0);
    return result;
}

static void give_back(const struct wait *w, struct pollfd *fds)
{
    for (nfds_t i = 0; i < w->n; i++)
        fds[i].revents = w->all[i].revents;
}

bool pps_poll_concerns(const struct pollfd *fds, nfds_t n)
{
    for (nfds_t i = 0; fds && i < n; i++)
        if (may_govern(&fds[i]))
            return true;
    return false;
}

int pps_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    _Alignas(struct listened) char stack[PPS_SCRATCH_STACK];
    struct pps_scratch scratch;
    struct wait w = {
        .n = n, .count = count_candidates(fds, n), .deadline = pps_deadline_after(timeout), .signals.mask = mask};
    size_t pollfds = (n + w.count + PPS_LATE_MAX) * sizeof *fds;
    int saved = errno;
    pps_process_notice_fork();
    w.all = pps_scratch_get(&scratch, stack, pollfds + w.count * sizeof *w.listeners);
    if (!w.all)
        return real_ppoll(fds, n, timeout, mask);
    w.listeners = (struct listened *)((char *)w.all + pollfds);
    gather(&w, fds);
    int result = wait_with_scratch(&w, &scratch), why = result < 0 ? errno : saved;
    if (result >= 0)
        give_back(&w, fds);
    pps_scratch_release(&scratch);
    errno = why;
    return result;
}
