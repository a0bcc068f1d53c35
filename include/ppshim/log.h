/* SPDX-License-Identifier: MIT
 *
 * log.h: one line (line.h) an event, to where the operator looks.
 *
 * Writing never blocks (a full pipe or socket loses the line), never raises SIGPIPE, keeps no descriptor open,
 * allocates nothing and takes no lock: any thread, any signal handler, after fork. May change errno. At most ten lines
 * a second a process of error and notice, and ten of info and debug; the first of a later second is preceded by a count
 * of what was left out.
 */
#ifndef PPSHIM_LOG_H
#define PPSHIM_LOG_H

#include <ppshim/config.h>
#include <ppshim/line.h>
#include <stdbool.h>

/* Opens nothing; looks at fd 2 and JOURNAL_STREAM, which `auto` needs to know from before the server changes them. An
   fd 2 that is a client's connection (inetd) is never written to. `config` must live for ever; it is NULL when it could
   not be read: then only last words are to be expected. */
void pps_log_start(const struct pps_config *config, const char *journal_stream);

bool pps_log_wants(enum pps_log_level level);

/* PPSHIM_LOG_TLVS */
bool pps_log_wants_tlv(uint8_t type);

/* Ends the line. */
void pps_log(enum pps_log_level level, struct pps_line *l);

/* For a process that is about to end: to fd 2 and, where fd 2 leads nowhere, to syslog; no limit applies. */
void pps_log_last(struct pps_line *l); /* ends the line */
void pps_log_last_words(const char *text);

#endif
