/* SPDX-License-Identifier: MIT
 *
 * quiet.h: a stretch of code in which no signal handler runs and no cancellation strikes.
 *
 * Of the calling thread alone. Nests. Two system calls, or none where the thread has its signals blocked anyway.
 */
#ifndef PPSHIM_QUIET_H
#define PPSHIM_QUIET_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

struct pps_quiet {
    sigset_t signals;
    int cancel_state;
    bool blocked; /* by us */
};

void pps_quiet_begin(struct pps_quiet *q);
void pps_quiet_end(const struct pps_quiet *q);

/* Cancellation alone, and no system call: returns what it was, to be set again. */
static inline int pps_cancel_off(void)
{
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

static inline void pps_cancel_set(int state)
{
    pthread_setcancelstate(state, NULL);
}

/* Tells whether this thread has all its signals blocked for longer than one stretch; false while it sleeps and lets
   them in. */
void pps_quiet_is_given(bool given);

#endif
