/* SPDX-License-Identifier: MIT
 *
 * exec.h: what a Go program starts: with a preload the environment sees to it, a static Go program is started by
 * ppshim(1), which puts this into it and keeps its process.
 */
#ifndef PPSHIM_GO_EXEC_H
#define PPSHIM_GO_EXEC_H

#include "gate.h"

/* Where ppshim(1) is; "" if nowhere. Once. */
void pps_go_exec_start(const char *tool);

/* execve(2); comes back with an error only. */
long pps_go_exec(const struct pps_go_call *call);

#endif
