/* SPDX-License-Identifier: MIT
 *
 * elf.h: what a file says of the program it is, as far as a preload is concerned.
 */
#ifndef PPSHIM_TOOL_ELF_H
#define PPSHIM_TOOL_ELF_H

#include <stdbool.h>
#include <stdint.h>

struct tool_elf {
    bool elf, dynamic, setuid_or_setgid, has_caps, is_go, musl, glibc;
    char interp[256];
    unsigned char bits;
    uint16_t machine;
};

/* false: the file cannot be read, and `error` says why. A file that is no ELF is read with .elf false. */
bool tool_elf_read(const char *path, struct tool_elf *out, char error[256]);

/* Where in PATH a program is (a name with a slash: itself); malloc'ed. NULL: nowhere. */
char *tool_find_program(const char *name);

#endif
