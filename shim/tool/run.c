/* SPDX-License-Identifier: MIT
 *
 * run.c: `ppshim run`: a server under libppshim.so. Every setting is an option; what the library would refuse when the
 * server starts, or first listens, is refused here, before it is started.
 */
#include "options.h"
#include "preload.h"
#include "tool.h"
#include <getopt.h>
#include <ppshim/config.h>
#include <ppshim/trust.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIBRARY = PPS_SET_COUNT, OPTIONS };

static const struct tool_usage *make_usage(void)
{
    static struct tool_option options[OPTIONS];
    static const struct tool_usage usage = {
        "run",
        "--trust LIST --ports PORTS [OPTION]... [--] PROGRAM [ARGUMENT]...",
        "Starts PROGRAM under libppshim.so, after a look at the settings, the list files and the program.\n"
        "Who sends headers must be given, by --trust or --header-optional, and to which of its ports (or all).\n"
        "Settings in the environment count where no option is given. Exit status 78: a setting is wrong; 126:\n"
        "PROGRAM would not load the library; 127: there is no such program; else PROGRAM's own.\n\n" TOOL_SETTING_FORMS,
        "  ppshim run --trust 10.108.0.0/24 --ports 5432 postgres -D /srv/db",
        options,
        OPTIONS,
    };
    tool_setting_options(options);
    options[LIBRARY] =
        (struct tool_option){"library", "PATH", "libppshim.so, if not beside this tool or where it was installed"};
    return &usage;
}

static int check_settings(void)
{
    static struct pps_config config; /* for ever: trust.h keeps it */
    char error[PPS_ERROR_TEXT];
    if (!pps_config_read(environ, &config, error) || (config.on && !pps_trust_load(&config, error)))
        return tool_fail(TOOL_CONFIG, "run", "%s", error);
    return TOOL_OK;
}

static int start(const char *given, char **argv)
{
    int status = check_settings();
    if (status != TOOL_OK)
        return status;
    const char *library = tool_preload_find("run", "libppshim.so", given);
    return library ? tool_preload_exec("run", library, argv) : TOOL_CANNOT_RUN;
}

int tool_run(int argc, char **argv)
{
    const struct tool_usage *usage = make_usage();
    const char *value, *library = NULL;
    bool given[OPTIONS] = {false};
    for (int option; (option = tool_option_next(argc, argv, usage, &value)) != TOOL_OPTION_END;) {
        if (option == TOOL_OPTION_HELP)
            return TOOL_OK;
        if (option == TOOL_OPTION_WRONG)
            return TOOL_USAGE;
        if (given[option])
            return tool_fail(TOOL_USAGE, "run", "--%s is given twice", usage->options[option].name);
        given[option] = true;
        if (option == LIBRARY)
            library = value;
        else if (setenv(pps_settings[option].name, value, 1) != 0)
            return tool_fail(TOOL_NO, "run", "%m");
    }
    if (!given[PPS_SET_TRUST] && !given[PPS_SET_HEADER_OPTIONAL])
        return tool_fail(TOOL_USAGE, "run",
                         "who sends headers? --trust LIST, or --header-optional LIST (try ppshim run --help)");
    if (!given[PPS_SET_PORTS])
        return tool_fail(TOOL_USAGE, "run", "to which ports? --ports 5432, or --ports all (try ppshim run --help)");
    if (optind == argc)
        return tool_fail(TOOL_USAGE, "run", "which program? (try ppshim run --help)");
    return start(library, argv + optind);
}
