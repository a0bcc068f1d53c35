/* SPDX-License-Identifier: MIT
 *
 * ready_poll.c: poll and select told the truth (readiness.h). select is poll underneath: a private epoll may have a
 * number that no fd_set can hold.
 *
 * The caller's descriptors are copied, and the private epoll of each governed listener among them is added at the end.
 * When a listener or its private epoll fires, settle; when nothing came of it, go on waiting with what is left of the
 * time.
 */
#include "ready_parts.h"
#include <errno.h>
#include <ppshim/deadline.h>
#include <ppshim/listener.h>
#include <ppshim/park.h>
#include <ppshim/readiness.h>
#include <ppshim/real.h>
#include <ppshim/settle.h>
#include <ppshim/watch.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define READABLE (POLLIN | POLLRDNORM)
#define ON_STACK 8192 /* bytes; thread stacks can be 64 KiB */

/* --- memory for one call: of the stack, or a mapping when the server watches many descriptors --- */

struct scratch {
    void *mapped;
    size_t size;
};

static void *scratch_get(struct scratch *s, void *stack, size_t size)
{
    *s = (struct scratch){0};
    if (size <= ON_STACK)
        return stack;
    void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return NULL;
    *s = (struct scratch){m, size};
    return m;
}

static void scratch_release(void *scratch)
{
    struct scratch *s = scratch;
    if (s->mapped)
        munmap(s->mapped, s->size);
}

/* --- one wait --- */

struct listened {
    struct pps_listener l; /* generation 0: an epoll, which may hold listeners */
    nfds_t at;             /* in the caller's array */
};

struct wait {
    struct pollfd *all; /* n of the caller's, then one private epoll a listener */
    nfds_t n;
    struct listened *listeners;
    unsigned count;
    uint64_t deadline;
    struct wait_signals signals;
    bool hurry; /* something is held already: do not sleep */
};

static bool may_govern(const struct pollfd *p)
{
    return p->fd >= 0 && (p->events & READABLE) && pps_listener_may_govern(pps_listener_kind(p->fd));
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
            pps_settle_seen(&one.l);
        if (kind == PPS_FD_GOVERNED || kind == PPS_FD_EPOLL)
            w->listeners[w->count++] = one;
    }
}

/* Whether another thread might park a connection while this one sleeps. */
static bool alone(void)
{
    extern char __libc_single_threaded __attribute__((weak));
    return &__libc_single_threaded && __libc_single_threaded;
}

static void add_private_epolls(struct wait *w)
{
    w->hurry = false;
    for (unsigned i = 0; i < w->count; i++) {
        const struct pps_listener *l = &w->listeners[i].l;
        struct pollfd *beside = &w->all[w->n + i];
        *beside = (struct pollfd){.fd = -1};
        if (!l->generation) {
            w->hurry |= pps_epoll_is_due(w->all[w->listeners[i].at].fd);
            continue;
        }
        if (pps_watch_private(l) < 0 && !alone() && pps_settle_is_accepting(l))
            pps_park_prepare(l);
        *beside = (struct pollfd){.fd = pps_watch_private(l), .events = POLLIN};
        w->hurry |= pps_settle_holds(l);
    }
}

static int sleep_until_something(struct wait *w)
{
    struct timespec left = pps_timespec(w->hurry ? 0 : pps_time_left(w->deadline));
    const struct timespec *timeout = w->hurry || w->deadline != PPS_NEVER ? &left : NULL;
    int ready = real_ppoll(w->all, w->n + w->count, timeout, w->signals.mask);
    if (ready < 0 && errno == EINVAL) /* more entries than RLIMIT_NOFILE allows: without ours, then */
        ready = real_ppoll(w->all, w->n, timeout, w->signals.mask);
    return ready;
}

/* What the kernel said of one listener becomes what accept would find. true: a connection is held for it. */
static bool resolve_one(struct wait *w, const struct listened *one, struct pollfd *beside, bool may_settle)
{
    struct pollfd *p = &w->all[one->at];
    short said = p->revents & READABLE, asked = p->events & READABLE;
    if (!one->l.generation) {
        if (said || pps_epoll_is_due(p->fd))
            p->revents = (short)((p->revents & ~READABLE) | (pps_epoll_is_ready(p->fd) ? asked : 0));
        return false;
    }
    bool holds = pps_settle_holds(&one->l);
    if (!said && !beside->revents && !holds)
        return false;
    p->revents &= ~READABLE;
    switch (holds ? PPS_SETTLED_READY : may_settle ? pps_settle(&one->l, p->fd, said) : PPS_SETTLED_NOTHING) {
    case PPS_SETTLED_READY:
        p->revents |= asked;
        return true;
    case PPS_SETTLED_ERROR:
        p->revents |= asked;
        return false;
    case PPS_SETTLED_PASS:
        p->revents |= said;
        return false;
    case PPS_SETTLED_NOTHING:
    case PPS_SETTLED_MORE:
        break;
    }
    return false;
}

/* At most one connection is taken from the kernel, whatever the number of listeners: what is held here is lost to the
   processes that share them. The others are still there at the next wait, and each is first in turn. */
static int resolve(struct wait *w)
{
    static _Atomic unsigned turn;
    unsigned first = atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed);
    int told = 0, cancel_state;
    bool may_settle = true;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    for (unsigned k = 0; k < w->count; k++) {
        unsigned i = (first + k) % w->count;
        if (resolve_one(w, &w->listeners[i], &w->all[w->n + i], may_settle))
            may_settle = false;
    }
    pthread_setcancelstate(cancel_state, NULL);
    for (nfds_t i = 0; i < w->n; i++)
        told += w->all[i].revents != 0;
    return told;
}

static int wait_and_resolve(struct wait *w)
{
    for (;;) {
        add_private_epolls(w);
        int ready = sleep_until_something(w);
        if (ready < 0 || (ready == 0 && !w->hurry))
            return ready;
        int told = resolve(w);
        if (told || pps_time_left(w->deadline) == 0)
            return told;
        block_signals(&w->signals);
    }
}

static int wait_with_scratch(struct wait *w, struct scratch *scratch)
{
    int result;
    pthread_cleanup_push(scratch_release, scratch);
    result = wait_and_resolve(w);
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
    _Alignas(struct listened) char stack[ON_STACK];
    struct scratch scratch;
    struct wait w = {
        .n = n, .count = count_candidates(fds, n), .deadline = pps_deadline_after(timeout), .signals.mask = mask};
    size_t pollfds = (n + w.count) * sizeof *fds;
    int saved = errno;
    w.all = scratch_get(&scratch, stack, pollfds + w.count * sizeof *w.listeners);
    if (!w.all)
        return real_ppoll(fds, n, timeout, mask);
    w.listeners = (struct listened *)((char *)w.all + pollfds);
    gather(&w, fds);
    int result = wait_with_scratch(&w, &scratch), why = result < 0 ? errno : saved;
    if (result >= 0)
        give_back(&w, fds);
    restore_signals(&w.signals);
    scratch_release(&scratch);
    errno = why;
    return result;
}

/* --- select --- */

bool pps_select_concerns(int n, const fd_set *readable)
{
    for (int fd = 0; readable && fd < n; fd++)
        if (FD_ISSET(fd, readable) && pps_listener_may_govern(pps_listener_kind(fd)))
            return true;
    return false;
}

struct sets {
    fd_set *readable, *writable, *exceptional;
};

static bool has(int fd, const fd_set *set)
{
    return set && FD_ISSET(fd, set);
}

static nfds_t to_pollfds(int n, const struct sets *s, struct pollfd *out)
{
    nfds_t count = 0;
    for (int fd = 0; fd < n; fd++) {
        short events = (short)((has(fd, s->readable) ? POLLIN : 0) | (has(fd, s->writable) ? POLLOUT : 0) |
                               (has(fd, s->exceptional) ? POLLPRI : 0));
        if (events)
            out[count++] = (struct pollfd){.fd = fd, .events = events};
    }
    return count;
}

/* As do_select does: an error makes readable and writable, a hang-up readable, and exceptional is urgent data only. */
static int move_bit(int fd, fd_set *set, bool ready)
{
    if (!has(fd, set))
        return 0;
    if (!ready)
        FD_CLR(fd, set);
    return ready;
}

static int from_pollfds(const struct pollfd *fds, nfds_t count, const struct sets *s)
{
    int bits = 0;
    for (nfds_t i = 0; i < count; i++) {
        short r = fds[i].revents;
        bits += move_bit(fds[i].fd, s->readable, r & (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR));
        bits += move_bit(fds[i].fd, s->writable, r & (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR));
        bits += move_bit(fds[i].fd, s->exceptional, r & POLLPRI);
    }
    return bits;
}

/* poll returns for errors and hang-ups that select was not asked about; such a descriptor is let be. */
static bool only_unasked(struct pollfd *fds, nfds_t count)
{
    bool asked = false;
    for (nfds_t i = 0; i < count; i++) {
        short wanted = fds[i].events & POLLIN ? POLLHUP | POLLERR : fds[i].events & POLLOUT ? POLLERR : 0;
        if (!fds[i].revents)
            continue;
        if (fds[i].revents & (fds[i].events | wanted | POLLNVAL))
            asked = true;
        else
            fds[i].fd = ~fds[i].fd;
    }
    return !asked;
}

static int poll_until_asked(struct pollfd *fds, nfds_t count, uint64_t deadline, const sigset_t *mask)
{
    int ready;
    do {
        struct timespec left = pps_timespec(pps_time_left(deadline));
        ready = pps_ppoll(fds, count, deadline == PPS_NEVER ? NULL : &left, mask);
    } while (ready > 0 && only_unasked(fds, count) && pps_time_left(deadline));
    return ready;
}

static int poll_for_select(struct pollfd *fds, nfds_t count, uint64_t deadline, const sigset_t *mask,
                           struct scratch *scratch)
{
    int ready;
    pthread_cleanup_push(scratch_release, scratch);
    ready = poll_until_asked(fds, count, deadline, mask);
    pthread_cleanup_pop(0);
    for (nfds_t i = 0; i < count; i++) {
        if (ready > 0 && fds[i].revents & POLLNVAL) {
            errno = EBADF;
            return -1;
        }
        if (fds[i].fd < 0)
            fds[i] = (struct pollfd){.fd = ~fds[i].fd};
    }
    return ready;
}

int pps_pselect(int n, fd_set *readable, fd_set *writable, fd_set *exceptional, const struct timespec *timeout,
                const sigset_t *mask, struct timespec *left)
{
    _Alignas(struct pollfd) char stack[ON_STACK];
    struct scratch scratch;
    struct sets sets = {readable, writable, exceptional};
    uint64_t deadline = pps_deadline_after(timeout);
    struct pollfd *fds = scratch_get(&scratch, stack, (size_t)n * sizeof *fds);
    if (!fds)
        return real_pselect(n, readable, writable, exceptional, timeout, mask);
    nfds_t count = to_pollfds(n, &sets, fds);
    int result = poll_for_select(fds, count, deadline, mask, &scratch), why = errno;
    if (result >= 0)
        result = from_pollfds(fds, count, &sets);
    if (left)
        *left = pps_timespec(pps_time_left(deadline));
    scratch_release(&scratch);
    errno = why;
    return result;
}
