/* SPDX-License-Identifier: MIT
 *
 * options.h: a verb's command line and its --help, both from one table.
 */
#ifndef PPSHIM_TOOL_OPTIONS_H
#define PPSHIM_TOOL_OPTIONS_H

#include <ppshim/settings.h>
#include <stdbool.h>
#include <stdio.h>

struct tool_option {
    const char *name;     /* without the dashes */
    const char *argument; /* NULL: takes none */
    const char *meaning;
};

struct tool_usage {
    const char *verb;
    const char *synopsis; /* behind "ppshim VERB "; with "[--]" options end at the first word that is none, else they
                             may stand anywhere */
    const char *what;     /* one sentence or more, each line at most 100 columns */
    const char *example;
    const struct tool_option *options;
    int count; /* at most TOOL_OPTIONS_MAX; --help is not among them */
};
#define TOOL_OPTIONS_MAX 62

/* Negative answers of tool_option_next. */
enum { TOOL_OPTION_END = -1, TOOL_OPTION_WRONG = -2, TOOL_OPTION_HELP = -3 };

/*
 * The next option of the command line: its index in the table, *value its argument. END: the rest begins at optind.
 * WRONG: told on stderr. HELP: printed on stdout. What stands behind "--" is none.
 */
int tool_option_next(int argc, char **argv, const struct tool_usage *usage, const char **value);

/* An option for each setting, the first PPS_SET_COUNT of a verb's table; and what their values look like, for `what`.
 */
void tool_setting_options(struct tool_option out[PPS_SET_COUNT]);
#define TOOL_SETTING_FORMS                                                                                             \
    "LIST is addresses and CIDRs, separated by commas or spaces, like 10.0.0.0/8,2001:db8::7; !10.0.5.0/28\n"          \
    "takes some out again, @/path/file is a file of them, unix:/path a listening Unix socket. PORTS are like\n"        \
    "3306,8000-8010, or all. TIME has its unit: 3s or 500ms. Each setting is explained in man libppshim."

/* Which of the names somebody meant who wrote `word`; NULL: none is near. */
const char *tool_nearest(const char *word, const char *const *names, int count);

/* The name of the option for a setting: "client-allow" for PPSHIM_CLIENT_ALLOW. */
const char *tool_option_of(enum pps_setting setting);

/* A terminal, without NO_COLOR. */
bool tool_has_colour(FILE *to);
/* What makes text bold on such a one, and plain again; else empty. */
const char *tool_bold(FILE *to);
const char *tool_plain(FILE *to);

#endif
