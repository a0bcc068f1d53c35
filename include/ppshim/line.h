/* SPDX-License-Identifier: MIT
 *
 * line.h: one line of the log, being built: "ppshim[PID]: event key=value ...".
 *
 * Allocates nothing, takes no lock, opens nothing: any thread, any signal handler.
 */
#ifndef PPSHIM_LINE_H
#define PPSHIM_LINE_H

#include <ppshim/addr.h>
#include <ppshim/unix_name.h>
#include <stddef.h>
#include <stdint.h>

/* What does not fit is cut. */
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

void pps_line_end(struct pps_line *l); /* what ends it: once, and last */

#endif
