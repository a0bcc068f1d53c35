/* SPDX-License-Identifier: MIT
 *
 * preload.c: see preload.h. Owns LD_PRELOAD.
 */
#include "preload.h"
#include "elf.h"
#include "tool.h"
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WHY 768
#define NESTED_MAX 4 /* as the kernel */

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

__attribute__((format(printf, 2, 3))) static bool refuse(char why[WHY], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, WHY, format, args);
    va_end(args);
    return false;
}

/* What makes the kernel start it with AT_SECURE: another user or group than ours, or more capabilities. */
static bool is_privileged(const char *path, const struct tool_elf *e, char why[WHY])
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    bool as_user = (st.st_mode & S_ISUID) && st.st_uid != getuid();
    bool as_group = (st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getgid();
    bool more = e->has_caps && getuid() != 0;
    if (as_user || as_group || more)
        refuse(why, "%s",
               as_user    ? "it is setuid, and the dynamic linker then ignores LD_PRELOAD"
               : as_group ? "it is setgid, and the dynamic linker then ignores LD_PRELOAD"
                          : "it has file capabilities, and the dynamic linker then ignores LD_PRELOAD");
    return as_user || as_group || more;
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
}

static bool fits(const struct tool_elf *e, struct tool_elf library, char why[WHY])
{
    complete(&library);
    if (e->is_go)
        return refuse(why, "it is written in Go, which makes its system calls without libc");
    if (!e->dynamic)
        return refuse(why, "it is linked statically, so nothing can be preloaded into it");
    if (e->bits != library.bits || e->machine != library.machine)
        return refuse(why, "it is for another kind of processor (%u bits, ELF machine %u) than the library (%u, %u)",
                      e->bits, e->machine, library.bits, library.machine);
    if ((e->musl && library.glibc) || (e->glibc && library.musl))
        return refuse(why, "it is built for %s, the library for %s", e->musl ? "musl" : "glibc",
                      e->musl ? "glibc" : "musl");
    return true;
}

/* Its interpreter, malloc'ed; of `env NAME` the program of that name. NULL: it names none. */
static char *interpreter_of(const char *path)
{
    char line[PATH_MAX] = "", *word, *rest;
    FILE *script = fopen(path, "re");
    bool read = script && fgets(line, sizeof line, script) && strncmp(line, "#!", 2) == 0;
    if (script)
        fclose(script);
    if (!read || !(word = strtok_r(line + 2, " \t\n", &rest)))
        return NULL;
    const char *argument = strtok_r(NULL, " \t\n", &rest), *slash = strrchr(word, '/');
    if (slash && strcmp(slash, "/env") == 0 && argument && *argument != '-' && !strchr(argument, '='))
        return tool_find_program(argument);
    return strdup(word);
}

static bool would_load(const char *path, const struct tool_elf *library, int depth, char why[WHY])
{
    struct tool_elf e;
    char error[256], inner[WHY] = "";
    if (!tool_elf_read(path, &e, error))
        return depth == 0 || errno == EACCES || refuse(why, "%s", error); /* execve will judge, and say why */
    if (e.elf)
        return !is_privileged(path, &e, why) && fits(&e, *library, why);
    char *interpreter = interpreter_of(path);
    if (!interpreter || depth == NESTED_MAX)
        return true; /* execvp's to refuse, or to give to sh */
    bool loads = would_load(interpreter, library, depth + 1, inner);
    if (!loads)
        refuse(why, "it is a script for %.200s, and of that: %.500s", interpreter, inner);
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

static bool append(const char *library)
{
    const char *before = getenv("LD_PRELOAD");
    if (is_in(before, library))
        return true;
    if (!before || !*before)
        return setenv("LD_PRELOAD", library, 1) == 0;
    return setenv("LD_PRELOAD", tool_text("%s:%s", before, library), 1) == 0;
}

int tool_preload_exec(const char *verb, const char *library, char **argv)
{
    struct tool_elf e;
    char why[WHY] = "";
    const char *path = tool_find_program(argv[0]);
    if (!path || access(path, F_OK) != 0)
        return tool_fail(TOOL_NOT_FOUND, verb, "%s: no such program", argv[0]);
    if (!tool_elf_read(library, &e, why))
        return tool_fail(TOOL_CANNOT_RUN, verb, "%s", why);
    if (!e.elf)
        return tool_fail(TOOL_CANNOT_RUN, verb, "%s: not a library", library);
    if (!would_load(path, &e, 0, why))
        return tool_fail(TOOL_CANNOT_RUN, verb, "%s would not load %s: %s", path, strrchr(library, '/') + 1, why);
    if (!append(library))
        return tool_fail(TOOL_CANNOT_RUN, verb, "LD_PRELOAD: %m");
    execv(path, argv);
    if (errno == ENOEXEC)
        execvp(argv[0], argv); /* which gives it to sh */
    return tool_fail(errno == ENOENT ? TOOL_NOT_FOUND : TOOL_CANNOT_RUN, verb, "%s: %m", path);
}
