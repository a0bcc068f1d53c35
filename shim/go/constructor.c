/* SPDX-License-Identifier: MIT
 *
 * constructor.c: a preloaded library finds itself in a Go program. Linked to libc as the preload is, like what refuses
 * one (refuse.h); all else in this folder is not.
 */
#include "refuse.h"
#include "start.h"
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* The program comes first. */
static int take_program(struct dl_phdr_info *info, size_t size, void *out)
{
    struct pps_go_program *program = out;
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum && program->count < PPS_GO_SEGMENTS_MAX; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_LOAD && p->p_flags & PF_R)
            program->segments[program->count++] =
                (struct pps_go_segment){(const uint8_t *)at, p->p_filesz, at, p->p_flags & PF_X, p->p_flags & PF_W};
    }
    return 1;
}

/* Beside this library, as it is built, or where both are installed. */
static const char *find_tool(char path[PATH_MAX])
{
    Dl_info self;
    if (dladdr((void *)find_tool, &self) && strlen(self.dli_fname) < PATH_MAX - sizeof "ppshim") {
        strcpy(path, self.dli_fname);
        strcpy(strrchr(path, '/') ? strrchr(path, '/') + 1 : path, "ppshim");
        if (access(path, X_OK) == 0)
            return path;
    }
    return PPS_TOOL;
}

__attribute__((constructor)) static void start(void)
{
    char tool[PATH_MAX];
    struct pps_go_program program = {.count = 0};
    if (getauxval(AT_SECURE) || (!getenv("PPSHIM_TRUST") && !getenv("PPSHIM_HEADER_OPTIONAL")))
        return;
    dl_iterate_phdr(take_program, &program);
    if (!pps_go_is(&program))
        return;
    const char *why = pps_go_start(&(struct pps_go_given){environ, find_tool(tool), &program});
    if (why)
        pps_go_refuse(why);
}
