/* SPDX-License-Identifier: MIT
 *
 * signals.c: see signals.h.
 */
#include <errno.h>
#include <ppshim/real.h>
#include <ppshim/signals.h>
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
}

void pps_signals_restore(const struct pps_signals *s)
{
    int saved = errno;
    if (s->blocked)
        pthread_sigmask(SIG_SETMASK, &s->before, NULL);
    errno = saved;
}

bool pps_signals_let_in(const sigset_t *mask)
{
    int saved = errno;
    bool handled = real_ppoll(NULL, 0, &(struct timespec){0}, mask) < 0;
    errno = saved;
    return handled;
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
