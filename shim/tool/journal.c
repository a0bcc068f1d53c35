/* SPDX-License-Identifier: MIT
 *
 * journal.c: `ppshim journal`: keeps the journal, or looks something up in it.
 */
#include "journal_book.h"
#include "journal_ear.h"
#include "journal_query.h"
#include "options.h"
#include "tool.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT, SOCKET, MODE, QUERY, CLIENT, FROM, TO, AT, OPTIONS };

static const struct tool_option options[OPTIONS] = {
    [OUTPUT] = {"output", "FILE", "where lines are appended; - is standard output, the default"},
    [SOCKET] = {"socket", "PATH", "where servers tell it: their PPSHIM_JOURNAL (/run/ppshim/journal.sock)"},
    [MODE] = {"mode", "MODE", "permissions of the socket (0666: every user's servers)"},
    [QUERY] = {"query", NULL, "look up instead: who was connected?"},
    [CLIENT] = {"client", "LIST", "with --query: only these clients"},
    [FROM] = {"from", "TIME", "with --query: who was connected then or later"},
    [TO] = {"to", "TIME", "with --query: who was connected then or earlier"},
    [AT] = {"at", "TIME", "with --query: both"},
};

static const struct tool_usage usage = {
    .verb = "journal",
    .synopsis = "[--output FILE]\n       ppshim journal --query [OPTION]... FILE...",
    .what =
        "Writes a JSON line when a connection starts and one when it really ends, with client, bytes, and all the\n"
        "header said. SIGHUP: it opens its file anew. Servers tell it of starts (PPSHIM_JOURNAL), the kernel of ends.\n"
        "With --query it prints one line for each connection found: its end's, or its start's if it has not ended.\n"
        "Files may be compressed (.gz, .xz, .zst), in any order. TIME is like 14:05, 2026-11-26T14:05:30, or with Z.",
    .example = "  ppshim journal --output /var/log/ppshim/journal.jsonl\n"
               "  ppshim journal --query --client 203.0.113.0/24 --at 14:05 /var/log/ppshim/journal.jsonl*",
    .options = options,
    .count = OPTIONS,
};

struct wish {
    const char *values[OPTIONS];
    bool query;
};

static int refuse(const char *option, const char *value, const char *why)
{
    return tool_fail(TOOL_USAGE, "journal", "--%s %s: %s", option, value, why);
}

/* --- keeping it --- */

#ifdef PPS_HAS_MNL
static int keep(const struct wish *w)
{
    const char *mode = w->values[MODE] ? w->values[MODE] : "0666";
    const char *where = w->values[SOCKET] ? w->values[SOCKET] : "/run/ppshim/journal.sock";
    char error[512], *end;
    unsigned long bits = strtoul(mode, &end, 8);
    if (*end || end == mode || bits > 0777)
        return refuse("mode", mode, "write one like 0660");
    if (!tool_book_open(w->values[OUTPUT] ? w->values[OUTPUT] : "-", error) ||
        !tool_ear_open(where, (unsigned)bits, error) || !tool_ear_start(error))
        return tool_fail(TOOL_NO, "journal", "%s", error);
    tool_book_begin();
    while (tool_book_write())
        tool_ear_take(tool_book_take, NULL);
    tool_ear_close();
    return TOOL_OK;
}
#else
static int keep(const struct wish *w)
{
    (void)w;
    return tool_fail(TOOL_NO, "journal",
                     "this ppshim was built without libmnl, by which the kernel tells of ends: only "
                     "--query works");
}
#endif

/* --- looking up --- */

static int look_up(const struct wish *w, char **files)
{
    static const struct {
        int option;
        bool from, to;
    } times[] = {{FROM, true, false}, {TO, false, true}, {AT, true, true}};
    struct tool_query q = {.from = 0, .to = UINT64_MAX};
    char error[512];
    for (int i = 0; i < 3; i++) {
        const char *value = w->values[times[i].option];
        uint64_t first, last;
        if (!value)
            continue;
        if (!tool_query_time(value, &first, &last))
            return refuse(options[times[i].option].name, value, "write a time like 14:05, or 2026-11-26T14:05:30");
        q.from = times[i].from ? first : q.from;
        q.to = times[i].to ? last : q.to;
    }
    if (q.from > q.to)
        return tool_fail(TOOL_USAGE, "journal", "--from is later than --to");
    if (!*files)
        return tool_fail(TOOL_USAGE, "journal", "in which files? (try ppshim journal --help)");
    q.has_clients = w->values[CLIENT];
    if (q.has_clients && !tool_clients_read(w->values[CLIENT], &q.clients, error))
        return refuse("client", w->values[CLIENT], error);
    int status = tool_query(&q, files);
    if (q.has_clients)
        pps_cidr_free(&q.clients);
    return status;
}

int tool_journal(int argc, char **argv)
{
    struct wish w = {.query = false};
    const char *value;
    for (int option; (option = tool_option_next(argc, argv, &usage, &value)) != TOOL_OPTION_END;) {
        if (option == TOOL_OPTION_HELP)
            return TOOL_OK;
        if (option == TOOL_OPTION_WRONG)
            return TOOL_USAGE;
        if (option == QUERY)
            w.query = true;
        else
            w.values[option] = value;
    }
    for (int i = 0; i < OPTIONS; i++)
        if (w.values[i] && w.query != (i > QUERY))
            return tool_fail(TOOL_USAGE, "journal", "--%s goes %s --query", options[i].name,
                             w.query ? "without" : "with");
    if (w.query)
        return look_up(&w, argv + optind);
    if (optind < argc)
        return tool_fail(TOOL_USAGE, "journal", "%s: files are for --query; it writes to --output", argv[optind]);
    return keep(&w);
}
