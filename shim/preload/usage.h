/* SPDX-License-Identifier: MIT
 *
 * usage.h: how this process goes about one listener.
 *
 * Plain atomics: any thread and signal handler. A process that waits but never accepts (a master whose children do)
 * must take nothing: until it has called accept, and again after fork, the kernel's own readiness passes.
 */
#ifndef PPSHIM_USAGE_H
#define PPSHIM_USAGE_H

#include "listener.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pps_usage {
    _Atomic int accepting;     /* accept4 flags last used, plus one; 0: it never called accept */
    atomic_bool passed;        /* a wait told the server what the kernel said, unseen */
    atomic_bool polled;        /* poll or select names it; epolls are known to interest.h */
    atomic_bool shared;        /* by more than one thread, now or earlier */
    _Atomic int blocking;      /* 1 yes, -1 no, 0 not asked yet */
    _Atomic uintptr_t visitor; /* the first thread to wait for it or accept from it */
};

/* For a new listener: nothing is known. */
void pps_usage_open(struct pps_usage *u);
/* Of a listener that is closed by now, one that nobody reads. */
struct pps_usage *pps_usage_of(const struct pps_listener *l);

/* It calls accept4 with these flags. Returns whether a wait passed the kernel's readiness on since the last call: then
   accept must not wait, for the server was not told the truth. */
bool pps_usage_accepts(struct pps_usage *u, int flags);
/* The flags it last used; -1: this process never called accept. */
int pps_usage_flags(const struct pps_usage *u);
/* A wait passes the kernel's readiness on. */
void pps_usage_pass(struct pps_usage *u);

/* This thread waits for the listener, or accepts from it. */
void pps_usage_visit(struct pps_usage *u);
bool pps_usage_is_shared(const struct pps_usage *u);

/* A wait of this process names it in poll or select. */
void pps_usage_poll(struct pps_usage *u);
bool pps_usage_is_polled(const struct pps_usage *u);

/* Whether the listener is in blocking mode: asked once, until forgotten; a change meanwhile goes unnoticed. */
bool pps_usage_is_blocking(struct pps_usage *u, int listener_fd);
void pps_usage_ask_blocking_again(struct pps_usage *u);

/* process.h's after_fork: all is forgotten but that the kernel's readiness was passed on: what a wait told the parent
   may have made the child accept. */
void pps_usage_after_fork(struct pps_usage *u);

#endif
