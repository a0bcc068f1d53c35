/* SPDX-License-Identifier: MIT
 *
 * kill.c: `ppshim kill`: ends the connections of a client.
 */
#include "connections.h"
#include "connections_print.h"
#include "options.h"
#include "tool.h"
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLIENT, YES };

static const struct tool_option options[] = {
    {"client", "LIST", "whose connections: addresses and CIDRs"},
    {"yes", NULL, "do not ask"},
};

static const struct tool_usage usage = {
    .verb = "kill",
    .synopsis = "--client LIST [OPTION]... [PID|UNIT]",
    .what =
        "Shows the open connections of these clients, asks, and ends them: the server reads the end of each and the\n"
        "client gets a FIN; no process is signalled. Of a process and its children, of a systemd service, or of all\n"
        "processes. Connections for which no header named a client count by their peer.",
    .example = "  ppshim kill --client 203.0.113.7 mariadb",
    .options = options,
    .count = sizeof options / sizeof *options,
};

/* true: go on. Without a terminal there is nobody to ask. */
static bool ask(size_t count)
{
    char answer[16] = "";
    printf("End %s%zu connection%s? [y/N] ", count == 1 ? "this " : "these ", count, count == 1 ? "" : "s");
    fflush(stdout);
    return fgets(answer, sizeof answer, stdin) && (*answer == 'y' || *answer == 'Y');
}

static int shut_all(const struct tool_processes *processes, const struct tool_connections *c)
{
    size_t ended = 0, gone = 0;
    int error = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (tool_connection_shut(processes, &c->list[i]))
            ended++;
        else if (errno == EPERM)
            error = errno;
        else
            gone++;
    }
    printf("%zu ended", ended);
    if (gone)
        printf(", %zu gone before", gone);
    putchar('\n');
    errno = error;
    return error ? tool_fail(TOOL_NO, "kill", "not all could be ended: %m") : TOOL_OK;
}

static int kill_clients(const char *of, const struct pps_cidr_set *clients, bool yes)
{
    struct tool_processes processes;
    struct tool_connections found;
    int status = tool_connections_of("kill", of, &processes, &found);
    if (status != TOOL_OK)
        return status;
    tool_connections_keep(&found, clients);
    if (found.count)
        tool_connections_print(&found);
    if (!found.count && !*found.blocked)
        puts("no such connection is open");
    else if (found.count && !yes && !isatty(STDIN_FILENO))
        status = tool_fail(TOOL_NO, "kill", "nobody to ask: give --yes to end them");
    else if (found.count && (yes || ask(found.count)))
        status = shut_all(&processes, &found);
    fflush(stdout);
    if (*found.blocked)
        status = tool_fail(TOOL_NO, "kill", "%s", found.blocked);
    tool_connections_free(&found);
    tool_processes_free(&processes);
    return status;
}

int tool_kill(int argc, char **argv)
{
    const char *value, *list = NULL;
    struct pps_cidr_set clients;
    char error[512];
    bool yes = false;
    for (int option; (option = tool_option_next(argc, argv, &usage, &value)) != TOOL_OPTION_END;) {
        if (option == TOOL_OPTION_HELP)
            return TOOL_OK;
        if (option == TOOL_OPTION_WRONG)
            return TOOL_USAGE;
        if (option == CLIENT && list)
            return tool_fail(TOOL_USAGE, "kill", "--client is given twice: write one list, like 10.0.0.1,10.0.0.2");
        yes |= option == YES;
        list = option == CLIENT ? value : list;
    }
    if (!list)
        return tool_fail(TOOL_USAGE, "kill", "whose connections? --client 203.0.113.7 (try ppshim kill --help)");
    if (argc - optind > 1)
        return tool_fail(TOOL_USAGE, "kill", "name one process or service, or none (try ppshim kill --help)");
    if (!tool_clients_read(list, &clients, error))
        return tool_fail(TOOL_USAGE, "kill", "--client: %s", error);
    int status = kill_clients(argv[optind], &clients, yes);
    pps_cidr_free(&clients);
    return status;
}
