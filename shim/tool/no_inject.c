/* SPDX-License-Identifier: MIT
 *
 * no_inject.c: in place of run_inject.c and go_image.c where there is no image, on other processors than amd64. No Go
 * program can be served there, so that nobody comes here (go_program.c).
 */
#include "go_image.h"
#include "inject.h"
#include "tool.h"

bool tool_go_image_is_in(pid_t pid, uint64_t gate)
{
    (void)pid;
    (void)gate;
    return false;
}

int tool_inject_exec(const char *verb, const char *path, const struct tool_go *go, char **argv)
{
    (void)argv;
    return tool_fail(TOOL_CANNOT_RUN, verb, "%s cannot be served: %s", path, go->why_not);
}
