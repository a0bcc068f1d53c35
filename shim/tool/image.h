/* SPDX-License-Identifier: MIT
 *
 * image.h: the program that a process runs: what it has mapped, how it was started, and what a library of ours in it
 * says of itself. Read from outside: the process is not disturbed. One thread; malloc freely.
 */
#ifndef PPSHIM_IMAGE_H
#define PPSHIM_IMAGE_H

#include "elf.h"
#include "gate.h"
#include "go_program.h"
#include "unit_env.h"
#include <limits.h>
#include <ppshim/status.h>
#include <stdbool.h>
#include <sys/types.h>

/* Whether the program accepts where the library sees it. */
enum tool_accepts {
    TOOL_ACCEPTS_NEVER,     /* nothing in it imports that */
    TOOL_ACCEPTS_PERHAPS,   /* a library that it has loaded does: so do masters that let their children accept */
    TOOL_ACCEPTS_ITSELF,    /* the program does */
    TOOL_ACCEPTS_UNHINDERED /* static, or Go, and the shim is not in it: by system calls of its own */
};

struct tool_image {
    pid_t pid;
    char program[PATH_MAX]; /* without a " (deleted)" of the kernel's */
    struct tool_elf elf;    /* of the program */
    struct tool_go go;      /* the same */
    struct tool_gate gate;  /* of a Go program that goes through the shim */
    struct tool_env env;    /* PPSHIM_ and LD_PRELOAD, as it started */
    bool sees_env;          /* false: the program has written over it, or set none */
    bool secure;            /* AT_SECURE */
    bool traced;            /* by another process: the shim may be on its way into it */
    enum tool_accepts accepts;
    /* The library: an executable mapping, or the image of it in a static Go program; any mapping; of a file that is
       gone. */
    bool loaded, mapped, deleted;
    char library[PATH_MAX], range[64]; /* "": there is none but the image */
    bool mute;  /* the library in it is one that says nothing: another version, or none of ours */
    bool tells; /* the three below are what it says */
    uint32_t settings;
    bool on, has_accepted;
    const struct pps_config *config_there; /* its address in that process; NULL: another build's */
};

/* false: it is gone, or may not be looked at (errno says which: ENOENT or ESRCH, EACCES or EPERM). After either,
   tool_image_free. */
bool tool_image_read(struct tool_image *out, pid_t pid);
void tool_image_free(struct tool_image *i);

/* Whether a process has mapped the library, or was given a list: a quick look. */
bool tool_image_is_meant(pid_t pid);

/* The settings in force, from the memory of the process: its ports and, copied, the texts of its lists, which are never
   freed. false: they cannot be had. */
bool tool_image_config(const struct tool_image *i, struct pps_config *out);

/* A static Go program into which ppshim run has put the shim. */
bool tool_image_is_injected(const struct tool_image *i);

/* The last part of its program's path. */
const char *tool_image_name(const struct tool_image *i);

#endif
