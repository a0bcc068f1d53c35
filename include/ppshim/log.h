/* SPDX-License-Identifier: MIT
 *
 * log.h: one line an event, "ppshim[PID]: event key=value ...".
 *
 * Writing never blocks (a full pipe or socket loses the line), never raises SIGPIPE, keeps no descriptor open,
 * allocates nothing and takes no lock: any thread, any signal handler, after fork. May change errno. At most ten lines
 * a second a process of error and notice, and ten of info and debug; the first of a later second is preceded by a count
 * of what was left out.
 */
#ifndef PPSHIM_LOG_H
#define PPSHIM_LOG_H

#include <ppshim/addr.h>
#include <ppshim/config.h>
#include <ppshim/unix_name.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens nothing; looks at fd 2 and JOURNAL_STREAM, which `auto` needs to know from before the server changes them. An
   fd 2 that is a client's connection (inetd) is never written to. `config` is NULL when it could not be read: then only
   last words are to be expected. */
void pps_log_start(const struct pps_config *config, const char *journal_stream);

bool pps_log_wants(enum pps_log_level level);

/* A line being built; what does not fit is cut. */
struct pps_line {
    char text[1024];
    size_t length;
};

void pps_line_begin(struct pps_line *l, const char *event);
void pps_line_text(struct pps_line *l, const char *text);                  /* as it is */
void pps_line_word(struct pps_line *l, const char *key, const char *word); /* key=word, a word of ours */
void pps_line_number(struct pps_line *l, const char *key, uint64_t n);
void pps_line_number_bare(struct pps_line *l, uint64_t n); /* the digits alone */
void pps_line_addr(struct pps_line *l, const char *key, const struct pps_addr *a);
void pps_line_listener(struct pps_line *l, const char *key, const struct pps_unix_name *name); /* key=unix:/path */
void pps_line_foreign(struct pps_line *l, const char *key, const void *at,
                      size_t length); /* bytes of a peer, escaped */

void pps_line_exe(struct pps_line *l, const char *key); /* the program this process runs, where /proc tells */

void pps_log(enum pps_log_level level, struct pps_line *l);

/* For a process that is about to end: to fd 2 and, where fd 2 leads nowhere, to syslog; no limit applies. */
void pps_log_last_words(const char *text);

#endif
