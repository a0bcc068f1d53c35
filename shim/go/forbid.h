/* SPDX-License-Identifier: MIT
 *
 * forbid.h: what becomes of a Go program that wants the shim and cannot be served. It must not serve without it; but
 * most that a governed server starts serve nobody, and shall do their work.
 */
#ifndef PPSHIM_GO_FORBID_H
#define PPSHIM_GO_FORBID_H

#include <stdbool.h>

/* From here on listen and accept fail with EPERM, in what it starts as well. With a libc or without. false: the kernel,
   or this build, has no seccomp(2). */
bool pps_go_forbid_serving(void);

#endif
