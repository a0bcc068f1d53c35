/* SPDX-License-Identifier: MIT
 *
 * quiet.c: see quiet.h.
 */
#include <ppshim/quiet.h>
#include <pthread.h>

static _Thread_local volatile sig_atomic_t given;

void pps_quiet_is_given(bool is)
{
    given = is;
}

void pps_quiet_begin(struct pps_quiet *q)
{
    sigset_t all;
    q->blocked = !given;
    if (q->blocked) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &q->signals);
        given = true;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &q->cancel_state);
}

void pps_quiet_end(const struct pps_quiet *q)
{
    pthread_setcancelstate(q->cancel_state, NULL);
    if (q->blocked) {
        given = false;
        pthread_sigmask(SIG_SETMASK, &q->signals, NULL);
    }
}
