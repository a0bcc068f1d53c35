/* SPDX-License-Identifier: MIT
 *
 * tool.h: what the verbs of ppshim(1) have in common. Each verb is one file, <verb>.c, with one entry point.
 *
 * The tool links the library's own settings, lists and header code, so that what it says of a setting is what the
 * library will say. It is no preload: one thread, malloc and stdio are fine here.
 */
#ifndef PPSHIM_TOOL_H
#define PPSHIM_TOOL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

/* Exit status of every verb but run and connect once they became the program they start. */
enum {
    TOOL_OK = 0,
    TOOL_NO = 1,           /* the answer is no, or it could not be done */
    TOOL_USAGE = 2,        /* the command line is wrong */
    TOOL_CONFIG = 78,      /* a setting is wrong: as the library itself would end (EX_CONFIG) */
    TOOL_CANNOT_RUN = 126, /* run and connect: the program is there and cannot be started so; as the shell has it */
    TOOL_NOT_FOUND = 127   /* run and connect: there is no such program */
};

/* argv[0] is the verb. Each answers --help itself. Returns the exit status. */
int tool_connect(int argc, char **argv);
int tool_header(int argc, char **argv);
int tool_run(int argc, char **argv);
int tool_check(int argc, char **argv);
int tool_doctor(int argc, char **argv);
int tool_unit(int argc, char **argv);
int tool_status(int argc, char **argv);
int tool_who(int argc, char **argv);
int tool_kill(int argc, char **argv);
int tool_journal(int argc, char **argv);

/* One line "ppshim VERB: ..." on stderr; returns `status`. */
__attribute__((format(printf, 3, 4))) int tool_fail(int status, const char *verb, const char *format, ...);

/* As printf, into memory that the caller frees. Where there is none, the tool ends. */
__attribute__((format(printf, 1, 2))) char *tool_text(const char *format, ...);
__attribute__((format(printf, 1, 0))) char *tool_text_of(const char *format, va_list args);
/* What was just allocated, and is there. */
void *tool_or_abort(void *memory);
/* A list of `count` things of `size` bytes, with room for one more behind them, zeroed; moved as by realloc. Only ever
   grown by this: its room is told by its count. */
void *tool_grow(void *list, size_t count, size_t size);

#endif
