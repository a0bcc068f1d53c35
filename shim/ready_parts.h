/* SPDX-License-Identifier: MIT
 *
 * ready_parts.h: what the two kinds of wait share.
 *
 * When an event was dropped and the wait goes on, signals are blocked but for the sleep itself, so that one that comes
 * in between ends the wait with EINTR instead of being lost.
 */
#ifndef PPSHIM_READY_PARTS_H
#define PPSHIM_READY_PARTS_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

struct wait_signals {
    const sigset_t *mask; /* in force while asleep: the caller's; NULL: the thread's own */
    sigset_t before;
    bool blocked;
};

static inline void block_signals(struct wait_signals *s)
{
    sigset_t all;
    if (s->blocked)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &s->before);
    if (!s->mask)
        s->mask = &s->before;
    s->blocked = true;
}

/* For a call that may sleep while signals are blocked. */
static inline const sigset_t *mask_to_sleep_with(const struct wait_signals *s)
{
    return s->blocked ? s->mask : NULL;
}

/* Leaves errno alone. */
static inline void restore_signals(const struct wait_signals *s)
{
    int saved = errno;
    if (s->blocked)
        pthread_sigmask(SIG_SETMASK, &s->before, NULL);
    errno = saved;
}

#endif
