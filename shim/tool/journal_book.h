/* SPDX-License-Identifier: MIT
 *
 * journal_book.h: which connections are open, and what is written of them: a JSON object a line.
 *
 *   {"event": "start", "time": ..., "boot": "4f21a9c0", "id": 8211, "client": "203.0.113.7:4711", "peer": ..., ...}
 *   {"event": "end", ..., "end": ..., "seconds": 1.204, "bytes_in": 811, "bytes_out": 20115, "how": "closed", ...}
 *
 * `id` is the socket's cookie: with `boot` it names a connection for good. An end tells all that its start told.
 */
#ifndef PPSHIM_JOURNAL_BOOK_H
#define PPSHIM_JOURNAL_BOOK_H

#include "journal_ear.h"
#include <stdbool.h>

/* A file that is appended to, or "-". false: `error` is one line. */
bool tool_book_open(const char *path, char error[512]);

/* What is open already: those that `who` sees. Then what is heard counts: first all that was heard so far. */
void tool_book_begin(void);

/* For tool_ear_take; tool_book_write afterwards. */
void tool_book_take(const struct tool_heard *heard, void *unused);

/* Brings to the file what was taken. false: the journal shall end. */
bool tool_book_write(void);

#endif
