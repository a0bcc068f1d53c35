/* SPDX-License-Identifier: MIT
 *
 * run_elsewhere.c: in the place of run_inject.c and go/forbid.c on processors for which there is no shim/go: no program
 * of Go is served there, and none started that would serve without (inject.h, forbid.h).
 */
#include "../go/forbid.h"
#include "inject.h"
#include "tool.h"

int tool_inject_exec(const char *verb, const char *path, const struct tool_go *go, char **argv)
{
    (void)go, (void)argv;
    return tool_fail(TOOL_CANNOT_RUN, verb,
                     "%s is a Go program, and this ppshim is built for a processor where none is "
                     "served: amd64 is the only one",
                     path);
}

bool pps_go_forbid_serving(void)
{
    return false;
}
