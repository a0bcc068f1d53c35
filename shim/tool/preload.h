/* SPDX-License-Identifier: MIT
 *
 * preload.h: a program started under one of our libraries, or a clear reason why it would not load it. The dynamic
 * linker itself says nothing in most of these cases.
 */
#ifndef PPSHIM_TOOL_PRELOAD_H
#define PPSHIM_TOOL_PRELOAD_H

#include <stdbool.h>

/* The absolute path of `name`, beside the tool or in the library directory; or of `given`, if that is not NULL. NULL:
   it is not there, told on stderr. Never freed. */
const char *tool_preload_find(const char *verb, const char *name, const char *given);

/* The path that leads from this very program's directory to `path`; NULL: /proc does not say where it is. */
char *tool_beside(const char *path);

/* Whether the kernel would start the program with other rights than ours, so that it takes nothing from us; told on
   stderr. */
bool tool_preload_is_privileged(const char *verb, const char *path);

/* Appends it to LD_PRELOAD. false: no memory. */
bool tool_preload_append(const char *library);

/* Replaces this process by argv[0], `library` appended to its LD_PRELOAD. Returns only if that cannot be: the exit
   status, told on stderr. `reaches_go`: the library is one that can serve Go programs. */
int tool_preload_exec(const char *verb, const char *library, bool reaches_go, char **argv);

#endif
