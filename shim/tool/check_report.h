/* SPDX-License-Identifier: MIT
 *
 * check_report.h: one verdict and the facts behind it, as text or as JSON.
 */
#ifndef PPSHIM_CHECK_REPORT_H
#define PPSHIM_CHECK_REPORT_H

#include <stdbool.h>

enum tool_verdict {
    TOOL_VERDICT_OK,
    TOOL_VERDICT_UNSURE, /* nothing speaks against it, but what was looked at cannot show it */
    TOOL_VERDICT_NO,
    TOOL_VERDICT_CONFIG, /* no, because a setting is wrong */
};

#define TOOL_FACTS_MAX 256

struct tool_report {
    enum tool_verdict verdict;
    bool judged;   /* a verdict other than OK is there: the first of the gravest stands */
    char *subject; /* "/usr/sbin/mariadbd", "process 811", "mariadb.service" */
    char *because; /* one sentence */
    struct tool_fact {
        const char *name; /* static: "listener" */
        char *text;
        bool warning;
    } facts[TOOL_FACTS_MAX];
    unsigned count;
};

/* A judgement that outweighs a milder one and leaves an equal or graver one; what does not lead is told below, as
 * "also".
 */
__attribute__((format(printf, 3, 4))) void tool_judge(struct tool_report *r, enum tool_verdict verdict,
                                                      const char *format, ...);
__attribute__((format(printf, 3, 4))) void tool_note(struct tool_report *r, const char *name, const char *text, ...);
__attribute__((format(printf, 3, 4))) void tool_warn(struct tool_report *r, const char *name, const char *text, ...);

/* What to say where nothing spoke against it. */
__attribute__((format(printf, 2, 3))) void tool_judge_ok(struct tool_report *r, const char *because, ...);

/* To stdout; the verdict is the first line, coloured on a terminal unless NO_COLOR is set. Returns the exit status. */
int tool_report_print(const struct tool_report *r, bool json);
/* The first line alone, and if it is OK the first warning in it: "ok, but: demo.service: ..."; with JSON, all of it. */
int tool_report_print_line(const struct tool_report *r, bool json);
void tool_report_free(struct tool_report *r);

#endif
