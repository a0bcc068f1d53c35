/* SPDX-License-Identifier: MIT
 *
 * lock.h: whose memory this is, and the one lock over what the shim remembers about listeners and parked connections.
 *
 * The lock is taken only off the fast path (a listener is met or forgotten, a connection is parked, a parked one moves
 * on), never across a call that can block. While it is held all signals are blocked and cancellation is off: a handler
 * can therefore never find its own thread inside, and nothing leaks. It does not nest.
 *
 * After fork the child resets it without taking it; a vfork child, which runs in its parent's memory, must not touch
 * what the lock protects at all: ask pps_process_is_owner first.
 */
#ifndef PPSHIM_LOCK_H
#define PPSHIM_LOCK_H

#include <signal.h>
#include <stdbool.h>

/* No handler runs and no cancellation strikes between the two. */
struct pps_quiet {
    sigset_t signals;
    int cancel_state;
};

void pps_quiet_begin(struct pps_quiet *q);
void pps_quiet_end(const struct pps_quiet *q);

struct pps_guard {
    struct pps_quiet quiet;
};

void pps_guard_enter(struct pps_guard *g);
void pps_guard_leave(struct pps_guard *g);

/*
 * True in the process that owns this memory. False in a vfork child (or any clone with CLONE_VM). A child that was
 * forked by a raw system call, behind the back of pthread_atfork, is made the owner here, after `after_fork` ran.
 * Costs one getpid system call.
 */
bool pps_process_is_owner(void);

/* Makes a child forked behind the back of pthread_atfork the owner of its memory; looks at one word. Every way in from
   the server begins with it. */
void pps_process_notice_fork(void);

/* Whether other threads, or processes forked from or before this one, may hold the same descriptors. No system call. */
bool pps_process_may_share(void);
bool pps_process_has_family(void); /* the processes of it */
bool pps_process_has_threads(void);

/* Forks between the first process and this one. A call that finds it changed is in a child that returned into it from a
   signal handler: what it had counted or claimed was reset. No system call. */
unsigned pps_process_forks(void);

/* Once, from the constructor. `after_fork` runs in the child of every fork and may take no lock. `at_once`: it runs
   inside fork itself; else the child ran for a while first, and may have closed and reused any descriptor. */
void pps_process_start(void (*after_fork)(bool at_once));

#endif
