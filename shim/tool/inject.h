/* SPDX-License-Identifier: MIT
 *
 * inject.h: starts a static Go program with the shim in it.
 */
#ifndef PPSHIM_TOOL_INJECT_H
#define PPSHIM_TOOL_INJECT_H

#include "go_program.h"

/* This process becomes the program; comes back only if it could not be, told on stderr, with an exit status. */
int tool_inject_exec(const char *verb, const char *path, const struct tool_go *go, char **argv);

#endif
