/* SPDX-License-Identifier: MIT
 *
 * preload.c: see preload.h. Owns LD_PRELOAD.
 */
#include "preload.h"
#include "elf.h"
#include "loads.h"
#include "tool.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- the library --- */

char *tool_beside(const char *path)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return NULL;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    return tool_text("%s/%s", self, path);
}

static bool is_readable(const char *path)
{
    return path && access(path, R_OK) == 0;
}

const char *tool_preload_find(const char *verb, const char *name, const char *given)
{
    const char *path = given ? realpath(given, NULL) : tool_beside(name);
    if (!given && !is_readable(path))
        path = tool_text("%s/%s", PPS_LIBDIR, name);
    if (!is_readable(path))
        tool_fail(0, verb, "%s: %m%s", path ? path : given, given ? "" : " (name it with --library)");
    else if (path[strcspn(path, ": $")])
        tool_fail(0, verb, "%s: LD_PRELOAD cannot hold a path with a space, a colon or a $", path);
    else
        return path;
    return NULL;
}

/* --- the program --- */

bool tool_preload_is_privileged(const char *verb, const char *path)
{
    struct tool_elf e;
    char why[TOOL_WHY];
    if (!tool_elf_read(path, &e, why))
        return false;
    bool is = !tool_is_unprivileged(path, &e, TOOL_BY_US, why);
    tool_elf_free(&e);
    if (is)
        tool_fail(0, verb, "%s cannot be served: %s", path, why);
    return is;
}

static bool would_load(const char *path, const struct tool_elf *library, bool reaches_go, int depth, char why[TOOL_WHY])
{
    struct tool_elf e;
    char error[256], inner[TOOL_WHY] = "";
    if (!tool_elf_read(path, &e, error))
        return depth == 0 || errno == EACCES || tool_refuse(why, "%s", error); /* execve will judge, and say why */
    if (e.elf)
        return tool_loads(path, &e, library, reaches_go, TOOL_BY_US, why);
    char *interpreter = tool_interpreter_of(path);
    if (!interpreter || depth == TOOL_SCRIPTS_MAX)
        return true; /* execvp's to refuse, or to give to sh */
    bool loads = would_load(interpreter, library, reaches_go, depth + 1, inner);
    if (!loads)
        tool_refuse(why, "it is a script for %.200s, and of that: %.500s", interpreter, inner);
    free(interpreter);
    return loads;
}

/* --- together --- */

static bool is_in(const char *list, const char *path)
{
    size_t length = strlen(path);
    for (; list && *list; list += strspn(list, ": ")) {
        size_t word = strcspn(list, ": ");
        if (word == length && memcmp(list, path, length) == 0)
            return true;
        list += word;
    }
    return false;
}

bool tool_preload_append(const char *library)
{
    const char *before = getenv("LD_PRELOAD");
    if (is_in(before, library))
        return true;
    if (!before || !*before)
        return setenv("LD_PRELOAD", library, 1) == 0;
    return setenv("LD_PRELOAD", tool_text("%s:%s", before, library), 1) == 0;
}

int tool_preload_exec(const char *verb, const char *library, bool reaches_go, char **argv)
{
    struct tool_elf e;
    char why[TOOL_WHY] = "";
    const char *path = tool_find_program(argv[0]);
    if (!path || access(path, F_OK) != 0)
        return tool_fail(TOOL_NOT_FOUND, verb, "%s: no such program", argv[0]);
    if (!tool_elf_read(library, &e, why))
        return tool_fail(TOOL_CANNOT_RUN, verb, "%s", why);
    if (!e.elf)
        return tool_fail(TOOL_CANNOT_RUN, verb, "%s: not a library", library);
    if (!would_load(path, &e, reaches_go, 0, why))
        return tool_fail(TOOL_CANNOT_RUN, verb, "%s would not load %s: %s", path, strrchr(library, '/') + 1, why);
    if (!tool_preload_append(library))
        return tool_fail(TOOL_CANNOT_RUN, verb, "LD_PRELOAD: %m");
    execv(path, argv);
    if (errno == ENOEXEC)
        execvp(argv[0], argv); /* which gives it to sh */
    return tool_fail(errno == ENOENT ? TOOL_NOT_FOUND : TOOL_CANNOT_RUN, verb, "%s: %m", path);
}
