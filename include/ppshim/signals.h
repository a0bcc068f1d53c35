/* SPDX-License-Identifier: MIT
 *
 * signals.h: signals round a wait that may go back to sleep.
 *
 * A server learns of a signal from the EINTR that ends its wait. When an event is dropped and the wait goes on, one
 * that came in between would be lost: so signals are blocked but for the sleep itself, which lets them in with the
 * caller's mask, atomically, as ppoll(2) does.
 *
 * Of the calling thread alone. Any thread, any signal handler. Nothing here changes errno, unless it says so.
 */
#ifndef PPSHIM_SIGNALS_H
#define PPSHIM_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

struct pps_signals {
    const sigset_t *mask; /* in force while asleep: the caller's; NULL: the thread's own */
    sigset_t before;
    bool blocked;
};

/* Idempotent; sets mask if it was NULL. restore undoes it, and may run twice. */
void pps_signals_block(struct pps_signals *s);
void pps_signals_restore(const struct pps_signals *s);

/* Lets in what is pending and not in `mask`. true: a handler ran. */
bool pps_signals_let_in(const sigset_t *mask);

/* Whether every handler there is was installed with SA_RESTART: which of them ran is not told. 64 system calls. */
bool pps_signals_all_restart(void);

#endif
