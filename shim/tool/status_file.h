/* SPDX-License-Identifier: MIT
 *
 * status_file.h: one process's file of counters (<ppshim/stats.h>), read with suspicion: in a directory that everybody
 * may write to, everybody may have made it.
 */
#ifndef PPSHIM_TOOL_STATUS_FILE_H
#define PPSHIM_TOOL_STATUS_FILE_H

#include "status.h"

struct status_file {
    char name[64]; /* in the directory */
    pid_t pid;
    char namespace[40];  /* in which that is its number; "": not known */
    uint64_t made;       /* both as the name says */
    const char *refused; /* why nothing of it counts; NULL: it does */
    bool alive;          /* its process, or that cannot be known from here */
    char program[128], unit[128], user[64];
    unsigned listeners;
    struct {
        char name[128];
        uint64_t counters[PPS_STAT_COUNT];
    } * listener;
};

/* Whether a file of this name may be one; fills in what the name says. */
bool status_file_named(const char *name, struct status_file *out);

/* After that; `owner` is the directory's. false: it is gone. Then status_file_free. */
bool status_file_read(int directory, uid_t owner, struct status_file *f);
void status_file_free(struct status_file *f);

/* Whether the process is `top` or was started below it. */
bool status_is_below(pid_t pid, pid_t top);

#endif
