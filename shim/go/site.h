/* SPDX-License-Identifier: MIT
 *
 * site.h: where a Go program makes its system calls.
 *
 * Go 1.18 and later make nearly all of them in one function of assembly, Syscall6; up to 1.20 epoll_ctl has another.
 * Each is known by its whole body, which must stand exactly once, and by its name in the program's own table of
 * functions (pclntab), which stripping leaves in.
 *
 * Pure: no I/O, no memory of its own, no errno. Works on a program in memory and on its file alike.
 */
#ifndef PPSHIM_GO_SITE_H
#define PPSHIM_GO_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PPS_GO_SEGMENTS_MAX 16

/* The program's loaded segments. */
struct pps_go_program {
    struct pps_go_segment {
        const uint8_t *at;
        size_t size;
        uint64_t address; /* as its code has it; of what is not relocated yet, without its bias */
        bool executable, writable;
    } segments[PPS_GO_SEGMENTS_MAX];
    unsigned count;
};

/* What is written in place of a system call and what follows it: movabs $gate,%r11; jmp *%r11. The kernel's to clobber.
 */
#define PPS_GO_JUMP_SIZE 13
void pps_go_jump(uint8_t out[PPS_GO_JUMP_SIZE], uint64_t gate);

struct pps_go_sites {
    uint64_t syscall6;  /* address of the first byte to be replaced */
    uint64_t epoll_ctl; /* 0: this version has none of its own */
};

/* Of a program in memory, any version. Looks through what is writable: cheap enough for every program. Builds can take
 * out the build info, but not what the runtime itself goes by.
 */
bool pps_go_is(const struct pps_go_program *program);
/* Of a file as well, whose addresses may not be there yet. Looks at all of it. */
bool pps_go_is_certainly(const struct pps_go_program *program);

/* "go1.19.8", not terminated; NULL: it does not tell. */
const char *pps_go_version(const struct pps_go_program *program, size_t *length);

/* NULL, or why it cannot be served: half a sentence. */
const char *pps_go_find_sites(const struct pps_go_program *program, struct pps_go_sites *out);

#endif
