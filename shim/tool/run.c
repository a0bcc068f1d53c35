/* SPDX-License-Identifier: MIT
 *
 * run.c: `ppshim run`: a server under libppshim.so. Every setting is an option; what the library would refuse when the
 * server starts, or first listens, is refused here, before it is started.
 */
#include "../go/forbid.h"
#include "elf.h"
#include "inject.h"
#include "options.h"
#include "preload.h"
#include "tool.h"
#include <getopt.h>
#include <ppshim/config.h>
#include <ppshim/trust.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIBRARY = PPS_SET_COUNT, CHILD, OPTIONS };

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
    options[CHILD] =
        (struct tool_option){"child", NULL, "as a served server starts one: PROGRAM's path, then its name"};
    return &usage;
}

static struct pps_config config; /* for ever: trust.h keeps it */

static int check_settings(void)
{
    char error[PPS_ERROR_TEXT];
    if (!pps_config_read(environ, &config, error) || (config.on && !pps_trust_load(&config, error)))
        return tool_fail(TOOL_CONFIG, "run", "%s", error);
    return TOOL_OK;
}

static void read_go(const char *path, struct tool_go *out)
{
    struct tool_elf e;
    char error[256];
    *out = (struct tool_go){.is_go = false};
    if (!tool_elf_read(path, &e, error))
        return;
    tool_go_read(path, &e, out);
    tool_elf_free(&e);
}

/* Children of its have the library by LD_PRELOAD, or by `run --child`. */
static int start_static_go(const char *library, const char *path, const struct tool_go *go, char **argv)
{
    if (tool_preload_is_privileged("run", path))
        return TOOL_CANNOT_RUN;
    if (!tool_preload_append(library))
        return tool_fail(TOOL_CANNOT_RUN, "run", "LD_PRELOAD: %m");
    return tool_inject_exec("run", path, go, argv);
}

static int start(const char *given, char **argv)
{
    struct tool_go go = {.is_go = false};
    int status = check_settings();
    if (status != TOOL_OK)
        return status;
    const char *library = tool_preload_find("run", "libppshim.so", given), *path = tool_find_program(argv[0]);
    if (!library)
        return TOOL_CANNOT_RUN;
    if (path)
        read_go(path, &go);
    if (go.is_go && go.why_not)
        return tool_fail(TOOL_CANNOT_RUN, "run", "%s is a Go program that cannot be served: %s", path, go.why_not);
    return go.is_go && go.is_static ? start_static_go(library, path, &go, argv)
                                    : tool_preload_exec("run", library, true, argv);
}

/* What a static program gets that a served Go server starts (go/exec.c): the shim, if it is one that can be served. One
   that cannot is started all the same, since most of them serve nobody. */
static int start_child(const char *path, char **argv)
{
    struct tool_go go;
    int status = check_settings();
    if (status != TOOL_OK)
        return status;
    read_go(path, &go);
    bool is_go = go.is_go;
    if (config.on && is_go && !go.why_not)
        return tool_inject_exec("run", path, &go, argv);
    if (config.on && is_go && !pps_go_forbid_serving())
        return tool_fail(TOOL_CANNOT_RUN, "run", "%s is a Go program that cannot be served: %s", path, go.why_not);
    if (config.on && is_go)
        tool_fail(0, "run", "%s cannot be served, and so may not listen: %s", path, go.why_not);
    execv(path, argv);
    return tool_fail(TOOL_CANNOT_RUN, "run", "%s: %m", path);
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
        else if (option < PPS_SET_COUNT && setenv(pps_settings[option].name, value, 1) != 0)
            return tool_fail(TOOL_NO, "run", "%m");
    }
    if (given[CHILD] && argc - optind >= 2)
        return start_child(argv[optind], argv + optind + 1);
    if (!given[PPS_SET_TRUST] && !given[PPS_SET_HEADER_OPTIONAL])
        return tool_fail(TOOL_USAGE, "run",
                         "who sends headers? --trust LIST, or --header-optional LIST (try ppshim run --help)");
    if (!given[PPS_SET_PORTS])
        return tool_fail(TOOL_USAGE, "run", "to which ports? --ports 5432, or --ports all (try ppshim run --help)");
    if (optind == argc)
        return tool_fail(TOOL_USAGE, "run", "which program? (try ppshim run --help)");
    return start(library, argv + optind);
}
