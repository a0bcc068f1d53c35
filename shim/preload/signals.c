/* SPDX-License-Identifier: MIT
 *
 * signals.c: see signals.h.
 */
#include "signals.h"
#include <errno.h>
#include <ppshim/quiet.h>
#include <ppshim/real.h>
#include <stddef.h>
#include <time.h>

void pps_signals_block(struct pps_signals *s)
{
    sigset_t all;
    if (s->blocked)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &s->before);
    if (!s->mask)
        s->mask = &s->before;
    s->blocked = true;
    pps_quiet_is_given(true);
}

void pps_signals_restore(struct pps_signals *s)
{
    int saved = errno;
    if (!s->blocked)
        return;
    s->blocked = false;
    pps_quiet_is_given(false);
    if (s->mask == &s->before)
        s->mask = NULL;
    pthread_sigmask(SIG_SETMASK, &s->before, NULL);
    errno = saved;
}

void pps_signals_sleep(const struct pps_signals *s)
{
    if (s->blocked)
        pps_quiet_is_given(false);
}

void pps_signals_wake(const struct pps_signals *s)
{
    if (s->blocked)
        pps_quiet_is_given(true);
}

int pps_signals_accept4(const struct pps_signals *s, int listener_fd, struct sockaddr *peer, socklen_t *len, int flags)
{
    sigset_t now;
    int fd = -1, why;
    if (!s->mask)
        return real_accept4(listener_fd, peer, len, flags);
    pps_signals_sleep(s);
    if (real_ppoll(NULL, 0, &(struct timespec){0}, s->mask) == 0) { /* it lets in what is pending */
        pthread_sigmask(SIG_SETMASK, s->mask, &now);
        fd = real_accept4(listener_fd, peer, len, flags);
        why = errno;
        pthread_sigmask(SIG_SETMASK, &now, NULL);
        errno = why;
    }
    pps_signals_wake(s);
    return fd;
}

bool pps_signals_all_restart(void)
{
    struct sigaction sa;
    int saved = errno;
    bool all = true;
    for (int sig = 1; sig < NSIG && all; sig++)
        all = sigaction(sig, NULL, &sa) != 0 || sa.sa_handler == SIG_DFL || sa.sa_handler == SIG_IGN ||
              (sa.sa_flags & SA_RESTART);
    errno = saved;
    return all;
}
