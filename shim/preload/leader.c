/* SPDX-License-Identifier: MIT
 *
 * leader.c: see leader.h.
 */
#include "leader.h"
#include "process.h"
#include <errno.h>
#include <ppshim/deadline.h>
#include <pthread.h>
#include <time.h>

static _Thread_local char me;

static uintptr_t this_thread(void)
{
    return (uintptr_t)&me;
}

void pps_leader_open(struct pps_leader *l)
{
    atomic_store(&l->led, 0);
    atomic_store(&l->watching, false);
    atomic_store(&l->followers, 0);
    sem_init(&l->turn, 0, 0);
}

bool pps_leader_is_me(const struct pps_leader *l)
{
    return atomic_load(&l->led) == this_thread();
}

bool pps_leader_try(struct pps_leader *l)
{
    uintptr_t nobody = 0;
    return atomic_compare_exchange_strong(&l->led, &nobody, this_thread());
}

void pps_leader_set_watching(struct pps_leader *l, bool watching)
{
    atomic_store(&l->watching, watching);
}

bool pps_leader_is_watching(const struct pps_leader *l)
{
    return atomic_load(&l->watching);
}

bool pps_leader_has_followers(const struct pps_leader *l)
{
    return atomic_load(&l->followers);
}

static void give_turn(struct pps_leader *l)
{
    if (pps_leader_has_followers(l))
        sem_post(&l->turn);
}

void pps_leader_resign(struct pps_leader *l)
{
    if (!pps_leader_is_me(l)) /* the child of a fork, that returned into its parent's accept */
        return;
    atomic_store(&l->watching, false);
    atomic_store(&l->led, 0);
    give_turn(l);
}

void pps_leader_wake(struct pps_leader *l)
{
    for (unsigned n = atomic_load(&l->followers); n; n--)
        sem_post(&l->turn);
}

/* One call of follow. */
struct following {
    struct pps_leader *leader;
    unsigned epoch; /* the child of a handler that forked returns into it with nobody counted */
};

static void stop_following(void *following)
{
    struct following *f = following;
    if (f->epoch == pps_process_epoch())
        atomic_fetch_sub(&f->leader->followers, 1);
}

/* A turn that was given to this thread in the moment of its cancellation is another's. */
static void cancelled(void *following)
{
    struct following *f = following;
    stop_following(f);
    give_turn(f->leader);
}

/* On the clock that sem_timedwait goes by. */
static int wait_for_turn(struct pps_leader *l, uint64_t deadline)
{
    struct timespec now;
    if (deadline == PPS_NEVER)
        return sem_wait(&l->turn);
    clock_gettime(CLOCK_REALTIME, &now);
    struct timespec until =
        pps_timespec((uint64_t)now.tv_sec * PPS_SECOND + (uint64_t)now.tv_nsec + pps_time_left(deadline));
    return sem_timedwait(&l->turn, &until);
}

int pps_leader_follow(struct pps_leader *leader, const struct pps_listener *l, uint64_t deadline)
{
    struct following f = {leader, pps_process_epoch()};
    int why = 0;
    atomic_fetch_add(&leader->followers, 1);
    pthread_cleanup_push(cancelled, &f);
    while (!why && !pps_leader_try(leader)) {
        if (!pps_listener_is_open(l))
            why = ESTALE;
        else if (wait_for_turn(leader, deadline) != 0)
            why = errno == ETIMEDOUT ? EAGAIN : errno;
    }
    pthread_cleanup_pop(0);
    stop_following(&f);
    if (why == ESTALE)
        give_turn(leader);
    return why;
}

bool pps_leader_is_in_use(const struct pps_leader *l)
{
    return atomic_load(&l->led) || atomic_load(&l->followers);
}

/* The thread that is left may be a follower: it shall not wait for a leader that is no more. */
void pps_leader_after_fork(struct pps_leader *l)
{
    bool followed = atomic_exchange(&l->followers, 0);
    atomic_store(&l->led, 0);
    atomic_store(&l->watching, false);
    sem_init(&l->turn, 0, followed);
}
