/* SPDX-License-Identifier: MIT
 *
 * status.c: `ppshim status`: whose counters are asked for, and in which form (status.h).
 */
#include "status.h"
#include "options.h"
#include "tool.h"
#include "unit_find.h"
#include <getopt.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_DIRECTORY "/run/ppshim"

enum { STATS, WATCH, JSON, OPENMETRICS, HTTP, OPTIONS };

static const struct tool_option options[OPTIONS] = {
    [STATS] = {"stats", "DIRECTORY", "of PPSHIM_STATS, if it is neither in the environment nor " DEFAULT_DIRECTORY},
    [WATCH] = {"watch", NULL, "once a second, with rates, until interrupted"},
    [JSON] = {"json", NULL, "one JSON object"},
    [OPENMETRICS] = {"openmetrics", NULL, "text for Prometheus and its like"},
    [HTTP] = {"http", NULL, "the same, in answer to the HTTP request on standard input"},
};

static const struct tool_usage usage = {
    "status",
    "[OPTION]... [PID|UNIT]",
    "Says what became of the connections of servers that count in the directory PPSHIM_STATS names: of all of\n"
    "them, of a process and those below it, or of a systemd service. Of processes that ended too.",
    "  ppshim status --watch mariadb.service",
    options,
    OPTIONS,
};

static bool read_wanted(const char *what, char name[256], struct status_wanted *out)
{
    *out = (struct status_wanted){0};
    if (!what)
        return true;
    if (strlen(what) < 10 && *what && what[strspn(what, "0123456789")] == 0)
        out->pid = (pid_t)atoi(what);
    else if (tool_unit_name(what, name))
        out->unit = name;
    return out->pid || out->unit;
}

static int nothing_of(const struct status_wanted *wanted, const char *directory)
{
    if (wanted->pid)
        return tool_fail(TOOL_NO, "status",
                         "process %d and those below it have counted nothing in %s: they have accepted no "
                         "connection, or run without PPSHIM_STATS",
                         (int)wanted->pid, directory);
    return tool_fail(TOOL_NO, "status",
                     "%s has counted nothing in %s: it has accepted no connection, or runs without PPSHIM_STATS",
                     wanted->unit, directory);
}

static void print(const struct status *s, bool json, bool openmetrics)
{
    if (openmetrics)
        status_print_openmetrics(stdout, s);
    else if (json)
        status_print_json(stdout, s);
    else if (!s->count)
        printf("nothing was counted in %s yet\n", s->directory);
    for (size_t i = 0; i < s->count && !json && !openmetrics; i++) {
        fputs(i ? "\n" : "", stdout);
        status_print_group(stdout, &s->groups[i], NULL, 0);
    }
}

static int once(const char *directory, const struct status_wanted *wanted, bool json, bool openmetrics)
{
    struct status s;
    char error[512];
    setlocale(LC_CTYPE, "");
    if (!status_read(directory, wanted, true, &s, error))
        return tool_fail(TOOL_NO, "status", "%s", error);
    int status = TOOL_OK;
    if (!s.count && (wanted->pid || wanted->unit))
        status = nothing_of(wanted, directory);
    else
        print(&s, json, openmetrics);
    status_free(&s);
    return fflush(stdout) == 0 ? status : TOOL_NO;
}

int tool_status(int argc, char **argv)
{
    const char *value, *directory = getenv("PPSHIM_STATS");
    bool given[OPTIONS] = {false};
    char name[256];
    struct status_wanted wanted;
    for (int option; (option = tool_option_next(argc, argv, &usage, &value)) != TOOL_OPTION_END;) {
        if (option == TOOL_OPTION_HELP)
            return TOOL_OK;
        if (option == TOOL_OPTION_WRONG)
            return TOOL_USAGE;
        given[option] = true;
        directory = option == STATS ? value : directory;
    }
    if (given[WATCH] + given[JSON] + given[OPENMETRICS] + given[HTTP] > 1)
        return tool_fail(TOOL_USAGE, "status", "one of --watch, --json, --openmetrics and --http");
    if (argc - optind > 1 || !read_wanted(argv[optind], name, &wanted))
        return tool_fail(TOOL_USAGE, "status", "name one process or unit, or none (try ppshim status --help)");
    directory = directory && *directory ? directory : DEFAULT_DIRECTORY;
    status_tidy(directory);
    if (given[HTTP])
        return status_serve(directory, &wanted);
    return given[WATCH] ? status_watch(directory, &wanted) : once(directory, &wanted, given[JSON], given[OPENMETRICS]);
}
