/* SPDX-License-Identifier: MIT
 *
 * start.h: puts the shim into a Go program, before its first instruction.
 */
#ifndef PPSHIM_GO_START_H
#define PPSHIM_GO_START_H

#include "site.h"

struct pps_go_given {
    char *const *environment;
    const char *tool;                     /* where ppshim(1) is; "" if nowhere */
    const struct pps_go_program *program; /* in this process; NULL: its sites are rewritten already */
};

/* On the stack of whoever calls, with a libc or without. Does nothing where the settings are off; ends the process,
   status 78, where they are wrong. NULL, or why it wants the shim and cannot be served: half a sentence. One whose
   sites are rewritten can. */
const char *pps_go_start(const struct pps_go_given *given);

#endif
