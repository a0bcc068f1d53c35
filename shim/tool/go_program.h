/* SPDX-License-Identifier: MIT
 *
 * go_program.h: what there is to know of a program's file that is written in Go, and whether the shim can serve it.
 */
#ifndef PPSHIM_TOOL_GO_PROGRAM_H
#define PPSHIM_TOOL_GO_PROGRAM_H

#include "../go/site.h"
#include "elf.h"
#include <stdbool.h>

struct tool_go {
    bool is_go;                /* else nothing below */
    bool is_static;            /* names no program interpreter */
    char version[32];          /* "go1.19.8"; "" if it does not tell */
    const char *why_not;       /* it cannot be served: half a sentence. NULL: it can */
    struct pps_go_sites sites; /* without the bias of a position-independent one */
    uint64_t entry;            /* the same */
};

/* `elf`: what elf.h says of the same file, and knows of Go by the names in it; NULL: it was not asked. false: it is no
   ELF program of 64 bits that can be read; *out is empty. */
bool tool_go_read(const char *path, const struct tool_elf *elf, struct tool_go *out);

#endif
