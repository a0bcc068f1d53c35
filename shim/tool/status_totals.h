/* SPDX-License-Identifier: MIT
 *
 * status_totals.h: what is kept of processes whose files are gone, in the file `totals` beside those of the living, so
 * that no total ever falls; and since when processes that left a file are known to have ended.
 *
 * It is replaced as a whole, and only by who owns the directory, or root; another's is not believed.
 */
#ifndef PPSHIM_TOOL_STATUS_TOTALS_H
#define PPSHIM_TOOL_STATUS_TOTALS_H

#include "status_file.h"

struct status_groups {
    struct status_group *list;
    size_t count;
};

/* The one of that name, made if there is none. */
struct status_group *status_group_of(struct status_groups *g, const char *program, const char *unit, const char *user,
                                     const char *listener);
void status_groups_free(struct status_groups *g);

/* Adds what only grows. */
void status_group_add(struct status_group *to, const uint64_t counters[PPS_STAT_COUNT]);

struct status_ended {
    char name[64];
    uint64_t since; /* CLOCK_BOOTTIME, seconds */
    bool added;     /* it is in the groups: its file is to be removed, and counts no more */
};

struct status_totals {
    struct status_groups groups;
    struct status_ended *ended;
    size_t ended_count;
    unsigned long long inode; /* of this state of it; 0: there is none */
};

/* One that is not there, or not to be believed, is empty; *foreign: that. */
void status_totals_read(int directory, uid_t owner, struct status_totals *out, bool *foreign);
void status_totals_free(struct status_totals *t);
/* In place of the one that is there. */
bool status_totals_write(int directory, const struct status_totals *t);

struct status_ended *status_totals_find(const struct status_totals *t, const char *name);
struct status_ended *status_totals_add(struct status_totals *t, const char *name, uint64_t since);

#endif
