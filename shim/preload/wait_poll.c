/* SPDX-License-Identifier: MIT
 *
 * wait_poll.c: poll and select told the truth (wait.h). select is poll underneath: a private epoll may have a
 * number that no fd_set can hold.
 *
 * The caller's descriptors are copied, and the private epoll of each governed listener among them is added at the end.
 * When a listener or its private epoll fires, settle; when nothing came of it, go on waiting with what is left of the
 * time.
 */
#include <errno.h>
#include <fcntl.h>
#include <ppshim/acquire.h>
#include <ppshim/deadline.h>
#include <ppshim/held.h>
#include <ppshim/interest.h>
#include <ppshim/listener.h>
#include <ppshim/lock.h>
#include <ppshim/parked.h>
#include <ppshim/real.h>
#include <ppshim/signals.h>
#include <ppshim/wait.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define READABLE (POLLIN | POLLRDNORM)
#define ON_STACK 1024 /* bytes; thread stacks can be 16 KiB, and those of signal handlers 8 */

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
    uint64_t expiry; /* when somebody at another listener may run out of time */
    struct pps_signals signals;
    bool hurry; /* something is held already: do not sleep */
    bool wary;  /* peers are silent: an event may come to nothing */
};

static bool may_govern(const struct pollfd *p)
{
    return pps_listener_may_govern(p->fd) && (p->events & READABLE);
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
            pps_place_see(&one.l);
        if (kind == PPS_FD_GOVERNED || kind == PPS_FD_EPOLL)
            w->listeners[w->count++] = one;
    }
}

/* Another thread may park a connection while this one sleeps: there must be an epoll to see it in. */
static int private_epoll(const struct pps_listener *l)
{
    if (pps_watch_private(l) < 0 && pps_process_has_threads())
        pps_park_prepare(l);
    return pps_watch_private(l);
}

static void add_private_epolls(struct wait *w)
{
    w->hurry = false;
    for (unsigned i = 0; i < w->count; i++) {
        struct listened *one = &w->listeners[i];
        struct pollfd *beside = &w->all[w->n + i];
        int fd = w->all[one->at].fd;
        *beside = (struct pollfd){.fd = -1, .events = POLLIN};
        switch (pps_listener_find(fd, &one->l)) { /* anew: the number may be another listener's since the last sleep */
        case PPS_FD_GOVERNED:
            beside->fd = private_epoll(&one->l);
            w->hurry |= pps_place_holds(&one->l);
            w->wary |= pps_park_waiting(&one->l);
            break;
        case PPS_FD_EPOLL:
            w->hurry |= pps_epoll_is_due(fd);
            break;
        default:
            break;
        }
    }
}

static int sleep_until_something(struct wait *w)
{
    uint64_t until = w->expiry < w->deadline ? w->expiry : w->deadline;
    struct timespec left = pps_timespec(w->hurry ? 0 : pps_time_left(until));
    const struct timespec *timeout = w->hurry || until != PPS_NEVER ? &left : NULL;
    int ready = real_ppoll(w->all, w->n + w->count, timeout, w->signals.mask);
    if (ready < 0 && errno == EINVAL) /* more entries than RLIMIT_NOFILE allows: without ours, then */
        ready = real_ppoll(w->all, w->n, timeout, w->signals.mask);
    return ready;
}

/* What the kernel said of one listener becomes what accept would find. */
static enum pps_settled resolve_one(struct wait *w, const struct listened *one, struct pollfd *beside, bool may_settle)
{
    struct pollfd *p = &w->all[one->at];
    short said = p->revents & READABLE, asked = p->events & READABLE;
    if (!one->l.generation) {
        if (said || pps_epoll_is_due(p->fd))
            p->revents = (short)((p->revents & ~READABLE) | (pps_epoll_is_ready(p->fd) ? asked : 0));
        return PPS_SETTLED_NOTHING;
    }
    bool holds = pps_place_holds(&one->l);
    if (!said && !beside->revents && !holds)
        return PPS_SETTLED_NOTHING;
    enum pps_settled settled = PPS_SETTLED_NOTHING;
    if (holds)
        settled = PPS_SETTLED_READY;
    else if (may_settle)
        settled = pps_settle(&one->l, p->fd, said, &w->signals);
    p->revents &= ~READABLE;
    if (settled == PPS_SETTLED_READY || settled == PPS_SETTLED_ERROR)
        p->revents |= asked;
    else if (settled == PPS_SETTLED_PASS || settled == PPS_SETTLED_GONE)
        p->revents |= said;
    return settled;
}

/* At most one connection is taken from the kernel, whatever the number of listeners: what is held here is lost to the
   processes that share them. The others are still there at the next wait, and each is first in turn. */
static int resolve(struct wait *w)
{
    static _Atomic unsigned turn;
    unsigned first = atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed);
    int told = 0, cancel_state;
    bool may_settle = true, signalled = false;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    for (unsigned k = 0; k < w->count && !signalled; k++) {
        unsigned i = (first + k) % w->count;
        enum pps_settled settled = resolve_one(w, &w->listeners[i], &w->all[w->n + i], may_settle);
        may_settle &= settled != PPS_SETTLED_READY;
        signalled = settled == PPS_SETTLED_SIGNAL;
    }
    pthread_setcancelstate(cancel_state, NULL);
    for (nfds_t i = 0; i < w->n; i++)
        told += w->all[i].revents != 0;
    if (told || !signalled)
        return told;
    errno = EINTR;
    return -1;
}

static int wait_and_resolve(struct wait *w)
{
    for (;;) {
        w->expiry = pps_settle_expire();
        w->wary |= w->expiry != PPS_NEVER;
        add_private_epolls(w);
        if (w->wary)
            pps_signals_block(&w->signals);
        int ready = sleep_until_something(w);
        if (ready < 0 || (ready == 0 && !w->hurry && w->deadline <= w->expiry))
            return ready;
        int told = resolve(w);
        if (told || pps_time_left(w->deadline) == 0)
            return told;
        w->wary = true;
    }
}

static void restore(void *wait)
{
    pps_signals_restore(&((struct wait *)wait)->signals);
}

static int wait_with_scratch(struct wait *w, struct scratch *scratch)
{
    int result;
    pthread_cleanup_push(scratch_release, scratch);
    pthread_cleanup_push(restore, w);
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
    _Alignas(struct listened) char stack[ON_STACK];
    struct scratch scratch;
    struct wait w = {
        .n = n, .count = count_candidates(fds, n), .deadline = pps_deadline_after(timeout), .signals.mask = mask};
    size_t pollfds = (n + w.count) * sizeof *fds;
    int saved = errno;
    pps_process_notice_fork();
    w.all = scratch_get(&scratch, stack, pollfds + w.count * sizeof *w.listeners);
    if (!w.all)
        return real_ppoll(fds, n, timeout, mask);
    w.listeners = (struct listened *)((char *)w.all + pollfds);
    gather(&w, fds);
    int result = wait_with_scratch(&w, &scratch), why = result < 0 ? errno : saved;
    if (result >= 0)
        give_back(&w, fds);
    scratch_release(&scratch);
    errno = why;
    return result;
}

/* --- select --- */

/* Servers give select more descriptors than an fd_set holds, in sets of their own size: FD_ISSET would abort on them.
 */
#define BITS ((int)(8 * sizeof(long)))

static unsigned long bit(int fd)
{
    return 1UL << (fd % BITS);
}

static size_t word(int fd)
{
    return (size_t)(fd / BITS);
}

static bool has(int fd, const fd_set *set)
{
    return set && ((const unsigned long *)set)[word(fd)] & bit(fd);
}

bool pps_select_concerns(int n, const fd_set *readable)
{
    int end = pps_listener_fd_end(); /* numbers beyond have never been met: nor may there be memory for them */
    end = n < end ? n : end;
    for (int first = 0; readable && first < end; first += BITS)
        for (unsigned long bits = ((const unsigned long *)readable)[word(first)]; bits; bits &= bits - 1) {
            int fd = first + __builtin_ctzl(bits);
            if (fd < end && pps_listener_may_govern(fd))
                return true;
        }
    return false;
}

/* The kernel looks at no more bits than its table of descriptors has room for, whatever `n` is; nor may we, for that is
   what the caller's sets need hold. 0: not to be known. */
static int kernel_limit(int n)
{
    char text[1024]; /* the line is among the first ten */
    if (n <= FD_SETSIZE)
        return n;
    int cancel_state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state); /* select is a point of it, but with nothing open */
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        real_close(fd);
    pthread_setcancelstate(cancel_state, NULL);
    text[length < 0 ? 0 : length] = 0;
    const char *line = strstr(text, "\nFDSize:");
    int limit = line ? atoi(line + sizeof "\nFDSize:") : 0;
    return n < limit ? n : limit;
}

struct sets {
    fd_set *readable, *writable, *exceptional;
};

static short events_of(int fd, const struct sets *s)
{
    return (short)((has(fd, s->readable) ? POLLIN : 0) | (has(fd, s->writable) ? POLLOUT : 0) |
                   (has(fd, s->exceptional) ? POLLPRI : 0));
}

static nfds_t count_asked(int n, const struct sets *s)
{
    nfds_t count = 0;
    for (int fd = 0; fd < n; fd++)
        count += events_of(fd, s) != 0;
    return count;
}

static void to_pollfds(int n, const struct sets *s, struct pollfd *out)
{
    for (int fd = 0; fd < n; fd++)
        if (events_of(fd, s))
            *out++ = (struct pollfd){.fd = fd, .events = events_of(fd, s)};
}

/* As do_select does: an error makes readable and writable, a hang-up readable, and exceptional is urgent data only. */
static int move_bit(int fd, fd_set *set, bool ready)
{
    if (!has(fd, set))
        return 0;
    if (!ready)
        ((unsigned long *)set)[word(fd)] &= ~bit(fd);
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

static int pselect_by_poll(int n, const struct sets *s, const struct timespec *timeout, const sigset_t *mask,
                           uint64_t deadline)
{
    _Alignas(struct pollfd) char stack[ON_STACK];
    struct scratch scratch;
    int limit = kernel_limit(n);
    nfds_t count = count_asked(limit, s);
    struct pollfd *fds = limit ? scratch_get(&scratch, stack, count * sizeof *fds) : NULL;
    if (!fds)
        return real_pselect(n, s->readable, s->writable, s->exceptional, timeout, mask);
    to_pollfds(limit, s, fds);
    int result = poll_for_select(fds, count, deadline, mask, &scratch), why = errno;
    if (result >= 0)
        result = from_pollfds(fds, count, s);
    scratch_release(&scratch);
    errno = why;
    return result;
}

int pps_pselect(int n, fd_set *readable, fd_set *writable, fd_set *exceptional, const struct timespec *timeout,
                const sigset_t *mask, struct timespec *left)
{
    struct sets sets = {readable, writable, exceptional};
    uint64_t deadline = pps_deadline_after(timeout);
    int saved = errno, result = pselect_by_poll(n, &sets, timeout, mask, deadline);
    if (result >= 0)
        errno = saved;
    if (left)
        *left = pps_timespec(pps_time_left(deadline));
    return result;
}
