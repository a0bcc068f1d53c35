/* SPDX-License-Identifier: MIT
 *
 * process.h: whose memory this is, and who else may hold the same descriptors.
 *
 * Any thread, any signal handler. No system call but where it says so.
 */
#ifndef PPSHIM_PROCESS_H
#define PPSHIM_PROCESS_H

#include <stdbool.h>

/*
 * True in the process that owns this memory; false in a vfork child (or any clone with CLONE_VM), which shares it and
 * may reach the calls that close descriptors: they alone need ask. One getpid system call.
 */
bool pps_process_is_owner(void);

/* Makes a child that was forked by a raw system call, behind the back of pthread_atfork, the owner of its memory, after
   `after_fork` ran; looks at one word. Every way in from the server begins with it. */
void pps_process_notice_fork(void);

bool pps_process_has_threads(void);
/* Whether processes were forked from this one or from which it was forked. */
bool pps_process_has_family(void);

/* Forks between the first process and this one. What a thread claimed under another number is its parent's: a handler
   may fork, and the child return from it into the call it interrupted. */
unsigned pps_process_epoch(void);

/* Once, from the constructor. `after_fork` runs in the child of every fork and may take no lock. `at_once`: it runs
   inside fork itself; else the child ran for a while first, and may have closed and reused any descriptor. */
void pps_process_start(void (*after_fork)(bool at_once));

#endif
