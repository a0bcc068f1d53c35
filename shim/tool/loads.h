/* SPDX-License-Identifier: MIT
 *
 * loads.h: would the dynamic linker load a library of ours into a program? The one judge of it, for `run` and `connect`
 * before they start one, and for `check` and `unit`.
 */
#ifndef PPSHIM_LOADS_H
#define PPSHIM_LOADS_H

#include "elf.h"
#include <stdbool.h>

#define TOOL_WHY 768
/* Of a static program that is not of Go. */
#define TOOL_WHY_STATIC                                                                                                \
    "it is statically linked and no Go program: it loads no library, and makes its system calls at too many places "   \
    "to lead them through the shim"
#define TOOL_SCRIPTS_MAX 4 /* that name each other as interpreters; as the kernel */

/* Who starts it. */
enum tool_starter { TOOL_BY_ANYBODY, TOOL_BY_US };

/* Says why; false. */
__attribute__((format(printf, 2, 3))) bool tool_refuse(char why[TOOL_WHY], const char *format, ...);

/* false: why not, as a clause that begins "it is". The program is an ELF file. `reaches_go`: the library is one that
   can serve Go programs. */
bool tool_loads(const char *path, const struct tool_elf *program, const struct tool_elf *library, bool reaches_go,
                enum tool_starter starter, char why[TOOL_WHY]);

/* Whether the kernel starts it with no other rights than its starter's; else it takes nothing from him. */
bool tool_is_unprivileged(const char *path, const struct tool_elf *program, enum tool_starter starter,
                          char why[TOOL_WHY]);

/* The interpreter of a script, malloc'ed; of `env NAME` the program of that name. NULL: it names none. */
char *tool_interpreter_of(const char *path);

#endif
