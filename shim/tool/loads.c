/* SPDX-License-Identifier: MIT
 *
 * loads.c: see loads.h.
 */
#include "loads.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool tool_refuse(char why[TOOL_WHY], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, TOOL_WHY, format, args);
    va_end(args);
    return false;
}

/* What makes the kernel start it with AT_SECURE: another user or group than the starter's, or more capabilities. */
bool tool_is_unprivileged(const char *path, const struct tool_elf *e, enum tool_starter starter, char why[TOOL_WHY])
{
    struct stat st;
    if (stat(path, &st) != 0)
        return true;
    bool any = starter == TOOL_BY_ANYBODY;
    if (st.st_mode & S_ISUID && (any || st.st_uid != getuid()))
        return tool_refuse(why, "it is setuid, and the dynamic linker then ignores LD_PRELOAD");
    if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && (any || st.st_gid != getgid()))
        return tool_refuse(why, "it is setgid, and the dynamic linker then ignores LD_PRELOAD");
    if (e->has_caps && (any || getuid() != 0))
        return tool_refuse(why, "it has file capabilities, and the dynamic linker then ignores LD_PRELOAD%s",
                           any ? " (give them by the unit's AmbientCapabilities= instead)" : "");
    return true;
}

/* A library need not name its libc's linker; then it is the one this tool was built for. */
static void complete(struct tool_elf *library)
{
    struct tool_elf self;
    char error[256];
    if (library->musl || library->glibc || !tool_elf_read("/proc/self/exe", &self, error))
        return;
    library->musl = self.musl;
    library->glibc = self.glibc;
    tool_elf_free(&self);
}

bool tool_loads(const char *path, const struct tool_elf *e, const struct tool_elf *given, bool reaches_go,
                enum tool_starter starter, char why[TOOL_WHY])
{
    struct tool_elf library = *given;
    complete(&library);
    if (e->is_go && !reaches_go)
        return tool_refuse(why, "it is a Go program, which makes its system calls without libc");
    if (!e->dynamic)
        return tool_refuse(why, "%s",
                           reaches_go && !e->is_go ? TOOL_WHY_STATIC
                                                   : "it is statically linked, so nothing can be preloaded into it");
    if (!tool_is_unprivileged(path, e, starter, why))
        return false;
    if (e->bits != library.bits || e->machine != library.machine) {
        char machine[32];
        snprintf(machine, sizeof machine, "%s", tool_elf_machine(e));
        return tool_refuse(why, "it is for another kind of processor (%u-bit %s) than the library (%u-bit %s)", e->bits,
                           machine, library.bits, tool_elf_machine(&library));
    }
    if ((e->musl && library.glibc) || (e->glibc && library.musl))
        return tool_refuse(why, "it is built for %s, and the library for %s", e->musl ? "musl" : "glibc",
                           e->musl ? "glibc" : "musl");
    return true;
}

static bool is_env(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && strcmp(slash, "/env") == 0;
}

char *tool_interpreter_of(const char *path)
{
    char line[PATH_MAX] = "", *word, *rest = line + 2, *found = NULL;
    bool env = false;
    FILE *script = fopen(path, "re");
    bool read = script && fgets(line, sizeof line, script) && strncmp(line, "#!", 2) == 0;
    if (script)
        fclose(script);
    while (read && !found && (word = strsep(&rest, " \t\r\n"))) {
        if (!*word || (env && (*word == '-' || strchr(word, '='))))
            continue;
        if (!env && is_env(word))
            env = true;
        else
            found = strchr(word, '/') ? strdup(word) : tool_find_program(word);
        if (!found && !env)
            return NULL;
    }
    return found;
}
