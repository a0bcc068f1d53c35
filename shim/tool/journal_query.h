/* SPDX-License-Identifier: MIT
 *
 * journal_query.h: looks connections up in files of the journal.
 */
#ifndef PPSHIM_JOURNAL_QUERY_H
#define PPSHIM_JOURNAL_QUERY_H

#include "connections.h"
#include <stdbool.h>
#include <stdint.h>

struct tool_query {
    uint64_t from, to; /* milliseconds of CLOCK_REALTIME; who was connected at any time between, both included */
    bool has_clients;
    struct pps_cidr_set clients;
};

/* A time as an operator writes it, and the last millisecond that it means: 14:05 is a minute. */
bool tool_query_time(const char *text, uint64_t *first, uint64_t *last);

/* Prints what it finds, in the order of their starts. NULL ends the list of files. Returns an exit status: TOOL_NO, and
   a line on stderr, if a file could not be read. */
int tool_query(const struct tool_query *q, char **files);

#endif
