/* SPDX-License-Identifier: MIT
 *
 * signals.h: signals round a wait that may go back to sleep.
 *
 * A server learns of a signal from the EINTR that ends its wait. When an event is dropped and the wait goes on, one
 * that came in between would be lost: so signals are blocked but for the sleep itself, which lets them in with the
 * caller's mask, atomically, as ppoll(2) does.
 *
 * Of the calling thread alone. Any thread, any signal handler. errno is as it was, but for accept4's.
 */
#ifndef PPSHIM_SIGNALS_H
#define PPSHIM_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>

struct pps_signals {
    const sigset_t *mask; /* in force while asleep: the caller's; NULL: the thread's own */
    sigset_t before;
    bool blocked;
};

/* Both idempotent. block sets mask if it was NULL. */
void pps_signals_block(struct pps_signals *s);
void pps_signals_restore(struct pps_signals *s);

/* Round the sleep itself, when it lets signals in. */
void pps_signals_sleep(const struct pps_signals *s);
void pps_signals_wake(const struct pps_signals *s);

/* accept4(2) where it may sleep: under the mask, if there is one. EINTR also when a handler ran just before. One that
   runs in the very moment of an accept4 that does not sleep is not told of: nobody can tell that it did. */
int pps_signals_accept4(const struct pps_signals *s, int listener_fd, struct sockaddr *peer, socklen_t *len, int flags);

/* Whether every handler there is was installed with SA_RESTART: which of them ran is not told. 64 system calls. */
bool pps_signals_all_restart(void);

#endif
