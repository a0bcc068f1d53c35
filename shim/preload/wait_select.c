/* SPDX-License-Identifier: MIT
 *
 * wait_select.c: select told the truth (wait.h). It is poll underneath: a private epoll may have a number that no
 * fd_set can hold.
 */
#include "scratch.h"
#include "wait.h"
#include <errno.h>
#include <fcntl.h>
#include <ppshim/deadline.h>
#include <ppshim/quiet.h>
#include <ppshim/real.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    int end = pps_fd_end(); /* numbers beyond have never been met: nor may there be memory for them */
    end = n < end ? n : end;
    for (int first = 0; readable && first < end; first += BITS)
        for (unsigned long bits = ((const unsigned long *)readable)[word(first)]; bits; bits &= bits - 1) {
            int fd = first + __builtin_ctzl(bits);
            if (fd < end && pps_fd_may_govern(fd))
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
    int cancel_state = pps_cancel_off(), fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        real_close(fd);
    pps_cancel_set(cancel_state);
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
                           struct pps_scratch *scratch)
{
    int ready;
    pthread_cleanup_push(pps_scratch_release, scratch);
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

static int select_by_poll(struct pollfd *fds, int limit, nfds_t count, const struct sets *sets, uint64_t deadline,
                          const sigset_t *mask, struct pps_scratch *scratch)
{
    to_pollfds(limit, sets, fds);
    int result = poll_for_select(fds, count, deadline, mask, scratch), why = errno;
    if (result >= 0)
        result = from_pollfds(fds, count, sets);
    pps_scratch_release(scratch);
    errno = why;
    return result;
}

/* Without memory, or without a way to learn how many bits the kernel looks at, it is the kernel's own. */
int pps_pselect(int n, fd_set *readable, fd_set *writable, fd_set *exceptional, const struct timespec *timeout,
                const sigset_t *mask, struct timespec *left)
{
    _Alignas(struct pollfd) char stack[PPS_SCRATCH_STACK];
    struct pps_scratch scratch;
    struct sets sets = {readable, writable, exceptional};
    uint64_t deadline = pps_deadline_after(timeout);
    int saved = errno, limit = kernel_limit(n);
    nfds_t count = count_asked(limit, &sets);
    struct pollfd *fds = limit ? pps_scratch_get(&scratch, stack, count * sizeof *fds) : NULL;
    int result = fds ? select_by_poll(fds, limit, count, &sets, deadline, mask, &scratch)
                     : real_pselect(n, readable, writable, exceptional, timeout, mask);
    if (left)
        *left = pps_timespec(pps_time_left(deadline));
    if (result >= 0)
        errno = saved;
    return result;
}
