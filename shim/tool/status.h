/* SPDX-License-Identifier: MIT
 *
 * status.h: what the files of <ppshim/stats.h> say together, for `ppshim status`.
 *
 * A group is one listener of one program, unit and user: the processes that have it are added up, those that ended
 * too. One thread; malloc freely.
 */
#ifndef PPSHIM_TOOL_STATUS_H
#define PPSHIM_TOOL_STATUS_H

#include <ppshim/stats.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* --- the tables (status_table.c) --- */

enum status_type { STATUS_COUNTER, STATUS_GAUGE, STATUS_HISTOGRAM };

enum status_metric {
#define X(constant, name, type, unit, help) STATUS_##constant##_METRIC,
    PPS_STATS_METRICS(X)
#undef X
        STATUS_METRICS
};

extern const struct status_metric_row {
    const char *name;
    enum status_type type;
    const char *unit, *help;
} status_metrics[STATUS_METRICS];

extern const struct status_row {
    const char *key;
    enum status_metric metric;
    const char *labels; /* as in stats.h: version="2",family="inet" */
} status_rows[PPS_STAT_COUNT];

/* "2 inet" of these labels. */
const char *status_label_values(const char *labels, char out[64]);

/* The next counter of a metric behind `after`, -1 for the first; -1: there is none. Not the sum of a histogram, nor
   what stands for no reason. */
int status_next(enum status_metric metric, int after);

/* --- the files (status_read.c, status_file.c, status_totals.c) --- */

struct status_group {
    char program[128], unit[128], user[64]; /* the program's name without its path; "": not known */
    char listener[128];                     /* ":3306", "unix:/run/x.sock" */
    uint64_t counters[PPS_STAT_COUNT];
    pid_t *pids; /* that are alive */
    unsigned alive, ended;
};

struct status {
    struct status_group *groups; /* in the order of their names */
    size_t count;
    char directory[256];
};

/* Which processes count: all, one and those below it, or those of a unit. */
struct status_wanted {
    pid_t pid;        /* 0: not by that */
    const char *unit; /* NULL: not by that */
};

/* false: the directory cannot be read, and `error` is one line. Complaints about single files go to stderr, if
   `complain`. Then status_free. */
bool status_read(const char *directory, const struct status_wanted *wanted, bool complain, struct status *out,
                 char error[512]);
void status_free(struct status *s);

/* Of processes that ended: adds to the directory's totals those known to have ended for an hour, and removes their
   files. Does nothing where it may not, or another does so at the moment. */
void status_tidy(const char *directory);

/* --- how it is said --- */

/* `before`: what was so many seconds ago, for rates; NULL: nothing is known of that. */
void status_print_group(FILE *to, const struct status_group *g, const struct status_group *before, double seconds);
void status_print_json(FILE *to, const struct status *s);
void status_print_openmetrics(FILE *to, const struct status *s);

/* What another process may have written: control bytes as \\xNN. */
void status_put_text(FILE *to, const char *text);
/* Whether the terminal shows more than ASCII. */
bool status_has_blocks(FILE *to);

/* Once a second, until interrupted or stdout is gone. Returns the exit status. */
int status_watch(const char *directory, const struct status_wanted *wanted);
/* The answer to the HTTP request on stdin. Returns the exit status. */
int status_serve(const char *directory, const struct status_wanted *wanted);

#endif
