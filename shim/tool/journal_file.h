/* SPDX-License-Identifier: MIT
 *
 * journal_file.h: the file that the journal's lines go to: whole lines or none.
 */
#ifndef PPSHIM_JOURNAL_FILE_H
#define PPSHIM_JOURNAL_FILE_H

#include <stdbool.h>
#include <stdio.h>

/* Appends to a file, made where there is none, or "-": standard output. false: `error` is one line. */
bool tool_journal_open(const char *path, char error[512]);

/* Where lines are written to, each with its newline, until they are flushed. */
FILE *tool_journal_line(void);

/* Brings them to the file. What it has no room for is lost, and counted in the first line that finds room. */
void tool_journal_flush(void);

/* The same, and from then on to what has that name now. If that cannot be opened, it goes on as before. */
void tool_journal_reopen(void);

#endif
