/* SPDX-License-Identifier: MIT
 *
 * library.h: where libppshim.so lies, and where the dynamic linker finds what LD_PRELOAD names.
 */
#ifndef PPSHIM_LIBRARY_H
#define PPSHIM_LIBRARY_H

#include "elf.h"
#include <stdbool.h>

/* The installed library: `root` before every path ("" for none). NULL: there is none. The caller frees it. Looked for
   where packages and `make install` put it; beside_tool adds the directories next to this very program. */
char *tool_find_library(const char *root, bool beside_tool);

/* false: the file cannot be read, or is no ELF file like the other (NULL: any). */
bool tool_read_like(const char *path, const struct tool_elf *like, struct tool_elf *out);
/* The first file that the pattern finds below the root and that is an ELF file like the other (NULL: any), read: its
   path without the root. NULL: none. The caller frees both. */
char *tool_read_first(const char *root, const char *pattern, const struct tool_elf *like, struct tool_elf *out);

/* An entry of LD_PRELOAD as the dynamic linker of that system finds it: a path is itself, a bare name is looked up in
   ld.so.cache and the directories it always looks into. Without the root; NULL: not found. The caller frees it. */
char *tool_resolve_preload(const char *root, const char *entry);

#endif
