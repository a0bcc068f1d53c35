/* SPDX-License-Identifier: MIT
 *
 * forbid.h: what becomes of a Go program that wants the shim and cannot be served. It must not serve without it; but
 * most that a governed server starts serve nobody, and shall do their work.
 *
 * Both are for good, also for what the program starts, and with them nothing it starts gains privileges (unless it has
 * CAP_SYS_ADMIN). Linked to libc.
 */
#ifndef PPSHIM_GO_FORBID_H
#define PPSHIM_GO_FORBID_H

#include <stdbool.h>

/* From here on listen and accept fail with EPERM, in what it starts as well; also where they were asked about. false:
   the kernel, or this build, has no seccomp(2). */
bool pps_go_forbid_serving(void);

/* From here on the kernel asks about each listen and accept (seccomp_unotify(2)) and waits for the answer, in what it
   starts as well. Returns the descriptor where it asks, close-on-exec; when that is closed they fail with ENOSYS. -1:
   it cannot be asked, or somebody asks already. */
int pps_go_ask_before_serving(void);

#endif
