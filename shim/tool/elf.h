/* SPDX-License-Identifier: MIT
 *
 * elf.h: what a file says of itself as a program: is it dynamic, for which libc, what does it import.
 *
 * Reads any file, however broken: nothing in it is believed before it was found to lie inside the file. Executes
 * nothing.
 */
#ifndef PPSHIM_ELF_H
#define PPSHIM_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOOL_ELF_NEEDED_MAX 64

/* Bits of `imports`: the libc calls the library stands in for (real.h has them all), as far as they tell something. */
enum tool_import {
    TOOL_IMPORTS_ACCEPT = 1,
    TOOL_IMPORTS_ACCEPT4 = 2,
    TOOL_IMPORTS_GETPEERNAME = 4,
    TOOL_IMPORTS_LISTEN = 8,
    TOOL_IMPORTS_POLL = 16, /* poll, ppoll and their checked forms */
    TOOL_IMPORTS_SELECT = 32,
    TOOL_IMPORTS_EPOLL = 64,
    TOOL_IMPORTS_DLOPEN = 128, /* what it loads itself cannot be seen here */
};
#define TOOL_IMPORTS_ANY_ACCEPT (TOOL_IMPORTS_ACCEPT | TOOL_IMPORTS_ACCEPT4)

struct tool_elf {
    bool elf;     /* of this machine's byte order; else nothing below but setuid_or_setgid and has_caps */
    bool dynamic; /* names a program interpreter, or is a shared library */
    bool setuid_or_setgid, has_caps;
    bool is_go;
    bool musl, glibc;
    unsigned char bits; /* 32 or 64 */
    uint16_t machine;   /* EM_ of elf.h */
    char interp[256];
    unsigned imports;       /* enum tool_import */
    bool mentions_io_uring; /* the bytes "io_uring" or "IO_URING" are somewhere in the file */
    bool has_io_uring;      /* liburing is among `needed` */
    char build_id[65];      /* hexadecimal; "" if there is none */
    char version[32];       /* ppshim_version, if it is our library */
    uint64_t status_at;     /* the address of ppshim_status in it (status.h); 0: it has none */
    char *needed[TOOL_ELF_NEEDED_MAX];
    unsigned needed_count;
    char *runpath; /* DT_RUNPATH or DT_RPATH; NULL */
};

/* false: the file cannot be read, and `error` says why. A file that is no ELF file is read well, with elf false. After
   true, tool_elf_free. */
bool tool_elf_read(const char *path, struct tool_elf *out, char error[256]);
void tool_elf_free(struct tool_elf *e);

/* "x86-64", or "machine 243" for one without a name here. Static storage. */
const char *tool_elf_machine(const struct tool_elf *e);

/* "accept4 poll": the calls of `imports` that the library stands in for, those of one kind by the name of the first. */
void tool_elf_imports(const struct tool_elf *e, char *out, size_t size);

/* "libc.so.6" and what else comes with a libc or a compiler: that they accept tells nothing of a program. */
bool tool_elf_is_libc(const char *name);

/* PATH look-up of a name without a slash; one with a slash is itself. NULL: there is none. The caller frees it. */
char *tool_find_program(const char *name);

#endif
