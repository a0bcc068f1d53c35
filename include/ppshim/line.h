/* SPDX-License-Identifier: MIT
 *
 * line.h: one line of the log, being built: "ppshim[PID]: event key=value ...", and where in it each field lies, so
 * that the journal gets the same fields one by one.
 *
 * A field that does not fit is left out whole, and `cut=` at the line's end counts those. Allocates nothing, takes no
 * lock, opens nothing: any thread, any signal handler.
 */
#ifndef PPSHIM_LINE_H
#define PPSHIM_LINE_H

#include <ppshim/addr.h>
#include <ppshim/unix_name.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PPS_LINE_SIZE 1024
#define PPS_LINE_FIELDS 40

struct pps_slice { /* of the line's text */
    uint16_t at, length;
};

struct pps_line_field {
    struct pps_slice key, value;
    struct pps_slice port; /* of an endpoint, whose value is then the address alone; length 0: it is none */
};

struct pps_line {
    char text[PPS_LINE_SIZE];
    size_t length;
    struct pps_slice event; /* the first word; length 0: there is none, but a text in an operator's words */
    struct pps_line_field fields[PPS_LINE_FIELDS + 1]; /* and one that is left out, or counts those */
    unsigned count;
    unsigned cut;     /* fields left out */
    unsigned reserve; /* bytes kept free for that count */
    bool overflow;    /* the field being written does not fit */
};

void pps_line_begin(struct pps_line *l, const char *event);
void pps_line_text(struct pps_line *l, const char *text); /* as it is, behind the last value; that is no address */
void pps_line_word(struct pps_line *l, const char *key, const char *word); /* key=word, a word of ours */
void pps_line_number(struct pps_line *l, const char *key, uint64_t n);
void pps_line_number_bare(struct pps_line *l, uint64_t n); /* the digits alone, behind the last value */
void pps_line_addr(struct pps_line *l, const char *key, const struct pps_addr *a);
void pps_line_listener(struct pps_line *l, const char *key, const struct pps_unix_name *name); /* key=unix:/path */
/* Bytes of a peer, escaped as lists of clients take them (name.h); of long ones the beginning, and "...". */
void pps_line_foreign(struct pps_line *l, const char *key, const void *at, size_t length);
void pps_line_hex(struct pps_line *l, const char *key, const void *at, size_t length); /* the same, two digits a byte */

void pps_line_errno(struct pps_line *l, const char *key, int error); /* a word for it, or its number */
void pps_line_exe(struct pps_line *l, const char *key); /* the program that was executed, where that can be told */

void pps_line_end(struct pps_line *l); /* what ends it: once, and last */

/* Where the event begins: behind what tells whose line it is, which the journal knows. */
size_t pps_line_message(const struct pps_line *l);

#endif
