/* SPDX-License-Identifier: MIT
 *
 * leader.h: of the threads that block in accept on one listener, one leads.
 *
 * The leader alone is in the real call or watches those that wait for their header; the others follow: they sleep until
 * it leaves, with a connection or without, and one of them leads next. So nothing is pending without a watcher, and no
 * thread sleeps in the real call while something is. Across processes nothing leads.
 *
 * Any thread. A signal handler that interrupted the leader goes on as the leader: it must not wait for itself.
 */
#ifndef PPSHIM_LEADER_H
#define PPSHIM_LEADER_H

#include "listener.h"
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pps_leader {
    _Atomic uintptr_t led; /* by this thread; 0: by none */
    atomic_bool watching;  /* the leader sleeps on the private epoll, which stays open until it has left */
    _Atomic unsigned followers;
    sem_t turn; /* a post for a follower to try; one too many does no harm */
};

/* For a new listener: nobody is in it. */
void pps_leader_open(struct pps_leader *leader);

bool pps_leader_is_me(const struct pps_leader *leader);
/* true: this thread leads, until it resigns. */
bool pps_leader_try(struct pps_leader *leader);
void pps_leader_resign(struct pps_leader *leader);
/* Round its sleep. */
void pps_leader_set_watching(struct pps_leader *leader, bool watching);
bool pps_leader_is_watching(const struct pps_leader *leader);
bool pps_leader_has_followers(const struct pps_leader *leader);

/* Follows until this thread leads (0), or the listener is closed (ESTALE), or an error ends accept(2): EINTR, EAGAIN
   when `deadline` (deadline.h) is over. A cancellation point. Signals restart it as they restart accept. */
int pps_leader_follow(struct pps_leader *leader, const struct pps_listener *l, uint64_t deadline);

/* Has every follower look again: the listener is closed. */
void pps_leader_wake(struct pps_leader *leader);

/* Whether a thread leads or follows, though the listener may be closed by now. */
bool pps_leader_is_in_use(const struct pps_leader *leader);

/* process.h's after_fork: only the calling thread is left, in what it was interrupted in. */
void pps_leader_after_fork(struct pps_leader *leader);

#endif
