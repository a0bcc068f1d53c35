/* SPDX-License-Identifier: MIT
 *
 * who.c: `ppshim who`: the open connections, and whose they are.
 */
#include "connections.h"
#include "connections_print.h"
#include "options.h"
#include "tool.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLIENT, SORT, WATCH, JSON };

static const struct tool_option options[] = {
    {"client", "LIST", "only these clients: addresses and CIDRs"},
    {"sort", "WHAT", "age (the oldest first; the default) or bytes (both ways, the most first)"},
    {"watch", NULL, "again and again, each second"},
    {"json", NULL, "one JSON object a line"},
};

static const struct tool_usage usage = {
    .verb = "who",
    .synopsis = "[OPTION]... [PID|UNIT]",
    .what =
        "Lists the open connections whose PROXY header the library took, each with its client: of a process and its\n"
        "children, of a systemd service, or of all processes. Processes of other users are seen by root alone.",
    .example = "  ppshim who postgresql@15-main --client 203.0.113.0/24 --sort bytes",
    .options = options,
    .count = sizeof options / sizeof *options,
};

struct wish {
    const char *of; /* NULL: all */
    bool has_clients, by_bytes, watch, json;
    struct pps_cidr_set clients;
};

static int by_bytes(const void *a, const void *b)
{
    const struct tool_connection *one = a, *other = b;
    uint64_t sum = one->bytes_in + one->bytes_out, other_sum = other->bytes_in + other->bytes_out;
    return sum > other_sum ? -1 : sum < other_sum;
}

static void print(const struct wish *w, const struct tool_connections *c)
{
    if (!w->json) {
        tool_connections_print(c);
        return;
    }
    for (size_t i = 0; i < c->count; i++)
        tool_connection_json(stdout, &c->list[i]);
}

static int look(const struct wish *w)
{
    struct tool_processes processes;
    struct tool_connections found;
    int status = tool_connections_of("who", w->of, &processes, &found);
    if (status != TOOL_OK)
        return status;
    if (w->has_clients)
        tool_connections_keep(&found, &w->clients);
    if (w->by_bytes && found.count)
        qsort(found.list, found.count, sizeof *found.list, by_bytes);
    if (found.count || !*found.blocked)
        print(w, &found);
    fflush(stdout);
    if (*found.blocked)
        status = tool_fail(TOOL_NO, "who", "%s", found.blocked);
    tool_connections_free(&found);
    tool_processes_free(&processes);
    return ferror(stdout) ? TOOL_NO : status;
}

static int watch(const struct wish *w)
{
    bool terminal = isatty(STDOUT_FILENO);
    while (true) {
        if (terminal)
            fputs("\033[H\033[J", stdout);
        int status = look(w);
        if (status != TOOL_OK)
            return status;
        if (!terminal && !w->json && (putchar('\n') < 0 || fflush(stdout) != 0))
            return TOOL_NO;
        sleep(1);
    }
}

static int read_options(int argc, char **argv, struct wish *w)
{
    const char *value;
    char error[512];
    for (int option; (option = tool_option_next(argc, argv, &usage, &value)) != TOOL_OPTION_END;) {
        if (option == TOOL_OPTION_HELP || option == TOOL_OPTION_WRONG)
            return option;
        w->watch |= option == WATCH;
        w->json |= option == JSON;
        if (option == SORT) {
            w->by_bytes = strcmp(value, "bytes") == 0;
            if (!w->by_bytes && strcmp(value, "age") != 0)
                return tool_fail(TOOL_OPTION_WRONG, "who", "--sort %s: write age or bytes", value);
        }
        if (option == CLIENT && w->has_clients)
            return tool_fail(TOOL_OPTION_WRONG, "who",
                             "--client is given twice: write one list, like 10.0.0.1,10.0.0.2");
        if (option == CLIENT && !tool_clients_read(value, &w->clients, error))
            return tool_fail(TOOL_OPTION_WRONG, "who", "--client: %s", error);
        w->has_clients |= option == CLIENT;
    }
    return TOOL_OPTION_END;
}

int tool_who(int argc, char **argv)
{
    struct wish w = {0};
    switch (read_options(argc, argv, &w)) {
    case TOOL_OPTION_HELP:
        return TOOL_OK;
    case TOOL_OPTION_WRONG:
        return TOOL_USAGE;
    }
    if (argc - optind > 1)
        return tool_fail(TOOL_USAGE, "who", "name one process or service, or none (try ppshim who --help)");
    w.of = argv[optind];
    int status = (w.watch ? watch : look)(&w);
    if (w.has_clients)
        pps_cidr_free(&w.clients);
    return status;
}
