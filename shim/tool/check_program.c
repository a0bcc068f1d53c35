/* SPDX-License-Identifier: MIT
 *
 * check_program.c: could the preload serve this program? (check.h)
 *
 * What a file imports says what it may call, not what it does: accept found in a library, or nothing found in a program
 * that loads plugins, is "unsure" at most.
 */
#include "check.h"
#include "elf.h"
#include "go_program.h"
#include "library.h"
#include "loads.h"
#include "tool.h"
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARIES_MAX 128

/* --- what it imports, and its libraries --- */

struct library {
    char *name;
    bool found;
    struct tool_elf elf;
};

struct libraries {
    struct library list[LIBRARIES_MAX];
    unsigned count;
};

/* One directory of a RUNPATH, with $ORIGIN as the directory of whoever names it. */
static bool read_from_runpath(const char *runpath, const char *origin, const char *name, const struct tool_elf *like,
                              struct tool_elf *out)
{
    static const char *const marks[] = {"$ORIGIN", "${ORIGIN}"};
    char path[PATH_MAX];
    for (const char *end; runpath && *runpath; runpath = *end ? end + 1 : end) {
        int n = 0;
        end = strchrnul(runpath, ':');
        for (size_t i = 0; i < 2; i++)
            if (strncmp(runpath, marks[i], strlen(marks[i])) == 0) {
                runpath += strlen(marks[i]);
                n = snprintf(path, sizeof path, "%s", origin);
            }
        if (n + (end - runpath) + (long)strlen(name) + 2 > (long)sizeof path || end < runpath)
            continue;
        snprintf(path + n, sizeof path - (size_t)n, "%.*s/%s", (int)(end - runpath), runpath, name);
        if (tool_read_like(path, like, out))
            return true;
    }
    return false;
}

static bool read_from_places(const char *name, const struct tool_elf *like, struct tool_elf *out)
{
    static const char *const places[] = {
        "/lib/*-linux-*/", "/usr/lib/*-linux-*/", "/usr/local/lib/", "/lib64/", "/usr/lib64/", "/lib/", "/usr/lib/"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *path = strpbrk(name, "*?[/") ? NULL : tool_read_first(places[i], name, like, out);
        bool found = path;
        free(path);
        if (found)
            return true;
    }
    return false;
}

static void add_needed(struct libraries *l, const struct tool_elf *of, const char *origin, const struct tool_elf *like)
{
    for (unsigned i = 0; i < of->needed_count; i++) {
        const char *name = of->needed[i];
        bool known = tool_elf_is_libc(name) || l->count == LIBRARIES_MAX;
        for (unsigned k = 0; k < l->count && !known; k++)
            known = strcmp(l->list[k].name, name) == 0;
        if (known)
            continue;
        struct library *new = &l->list[l->count++];
        new->name = strdup(name);
        new->found =
            read_from_runpath(of->runpath, origin, name, like, &new->elf) || read_from_places(name, like, &new->elf);
    }
}

/* Of its libraries, theirs, and so on: the first that imports accept, or NULL; the others' imports are added. */
static void gather(struct libraries *l, const char *path, const struct tool_elf *e)
{
    char origin[PATH_MAX];
    snprintf(origin, sizeof origin, "%s", path);
    const char *directory = dirname(origin);
    add_needed(l, e, directory, e);
    for (unsigned i = 0; i < l->count; i++)
        if (l->list[i].found)
            add_needed(l, &l->list[i].elf, directory, e);
}

static void free_libraries(struct libraries *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        free(l->list[i].name);
        if (l->list[i].found)
            tool_elf_free(&l->list[i].elf);
    }
    free(l);
}

/* --- judgements --- */

struct asked {
    const char *library; /* or NULL */
    bool accepts;        /* it takes connections itself */
};

static void judge_acceptor(struct tool_report *r, const char *acceptor, bool loads, bool is_script)
{
    if (is_script)
        tool_judge(r, TOOL_VERDICT_UNSURE,
                   "it is a script, and its interpreter accepts nothing: check the program that "
                   "it starts");
    else if (acceptor)
        tool_judge(r, TOOL_VERDICT_UNSURE, "it does not call accept itself; %s, which it is linked with, does",
                   acceptor);
    else if (loads)
        tool_judge(r, TOOL_VERDICT_UNSURE,
                   "it does not call accept, but may load a plugin that does: start it, then "
                   "check its process");
    else
        tool_judge(r, TOOL_VERDICT_NO, "nothing in it or its libraries calls accept or accept4 of libc");
}

static void judge_calls(struct tool_report *r, const char *path, const struct tool_elf *e, const struct asked *a,
                        bool is_script)
{
    char own[128], text[128];
    const char *acceptor = NULL;
    struct libraries *l = tool_or_abort(calloc(1, sizeof *l));
    gather(l, path, e);
    tool_elf_imports(e, own, sizeof own);
    tool_note(r, "imports", "%s", *own ? own : "none of the calls that the library stands in for");
    bool loads = e->imports & TOOL_IMPORTS_DLOPEN;
    for (unsigned i = 0; i < l->count; i++) {
        const struct library *one = &l->list[i];
        if (!one->found) {
            tool_note(r, "library", "%s is not where libraries usually are: not looked at", one->name);
            loads = true;
        } else if (one->elf.imports & TOOL_IMPORTS_ANY_ACCEPT) {
            tool_elf_imports(&one->elf, text, sizeof text);
            tool_note(r, "library", "%s imports %s", one->name, text);
            acceptor = one->name;
        }
    }
    if (a->accepts && !(e->imports & TOOL_IMPORTS_ANY_ACCEPT))
        judge_acceptor(r, acceptor, loads, is_script);
    free_libraries(l);
}

static void judge_io_uring(struct tool_report *r, const struct tool_elf *e)
{
    if (e->has_io_uring)
        tool_warn(r, "io_uring",
                  "it is linked with liburing; connections accepted that way would be out of sight (most "
                  "use it for files only)");
    else if (e->mentions_io_uring)
        tool_note(r, "io_uring", "the file mentions io_uring; connections accepted that way would be out of sight");
}

static void judge_library(struct tool_report *r, const char *path, const struct tool_elf *e, const char *library)
{
    struct tool_elf ours;
    char error[256], why[TOOL_WHY];
    if (!tool_elf_read(library ? library : "/proc/self/exe", &ours, error)) {
        tool_judge(r, TOOL_VERDICT_NO, "the library cannot be read: %s", error);
        return;
    }
    if (!library) { /* it would be of the tool's own kind */
        tool_warn(r, "preload", "libppshim.so is not installed where it was looked for: name it with --library");
        if (!tool_loads(path, e, &ours, true, TOOL_BY_ANYBODY, why))
            tool_judge(r, TOOL_VERDICT_NO, "%s", why);
        tool_elf_free(&ours);
        return;
    }
    tool_note(r, "preload", "%s, version %s, %s %s", library, *ours.version ? ours.version : "unknown",
              tool_elf_machine(&ours),
              ours.musl    ? "musl"
              : ours.glibc ? "glibc"
                           : "unknown libc");
    if (!*ours.version)
        tool_judge(r, TOOL_VERDICT_NO, "%s is not libppshim", library);
    else if (!tool_loads(path, e, &ours, true, TOOL_BY_ANYBODY, why))
        tool_judge(r, TOOL_VERDICT_NO, "%s", why);
    tool_elf_free(&ours);
}

/* How the shim comes into it, or why it does not. */
static void judge_way(struct tool_report *r, const char *path, const struct tool_elf *e, const struct tool_go *go)
{
    char why[TOOL_WHY];
    const char *version = *go->version ? go->version : "Go of a version that it does not tell";
    if (go->is_go && go->why_not)
        tool_judge(r, TOOL_VERDICT_NO, "it is a Go program (%s) that cannot be served: %s", version, go->why_not);
    else if (!go->is_go && !e->dynamic)
        tool_judge(r, TOOL_VERDICT_NO, "%s", TOOL_WHY_STATIC);
    if (go->is_go && go->is_static && !tool_is_unprivileged(path, e, TOOL_BY_ANYBODY, why))
        tool_judge(r, TOOL_VERDICT_NO, "%s", why);
    if (go->is_go && !go->why_not && go->is_static)
        tool_note(r, "way", "Go by injection: %s; ppshim run puts the shim into it as it starts, LD_PRELOAD does not",
                  version);
    else if (go->is_go && !go->why_not)
        tool_note(r, "way", "Go by preload: %s; the library rewrites where it makes its system calls", version);
    else if (!go->is_go && e->dynamic)
        tool_note(r, "way", "preload: the library stands in for calls of libc");
    else
        tool_note(r, "way", "none");
}

static void judge_elf(struct tool_report *r, const char *path, const struct tool_elf *e, const struct asked *a,
                      bool is_script)
{
    const char *libc = e->musl ? "musl" : e->glibc ? "glibc" : "unknown libc";
    if (e->dynamic)
        tool_note(r, "program", "%s: %s, dynamic, %s", path, tool_elf_machine(e), libc);
    else
        tool_note(r, "program", "%s: %s, static", path, tool_elf_machine(e));
    struct tool_go go;
    tool_go_read(path, e, &go);
    judge_way(r, path, e, &go);
    if (!e->dynamic)
        return;
    judge_library(r, path, e, a->library);
    if (go.is_go) /* its calls are none of libc's */
        return;
    judge_calls(r, path, e, a, is_script);
    judge_io_uring(r, e);
}

static void check_file(struct tool_report *r, const char *path, const struct asked *a, int depth)
{
    struct tool_elf e;
    char error[256];
    if (!tool_elf_read(path, &e, error)) {
        tool_judge(r, TOOL_VERDICT_NO, "it cannot be read: %s", error);
        return;
    }
    char *interpreter = e.elf ? NULL : tool_interpreter_of(path);
    if (e.elf)
        judge_elf(r, path, &e, a, depth > 0);
    else if (!interpreter || depth == TOOL_SCRIPTS_MAX)
        tool_judge(r, TOOL_VERDICT_NO, "%s is neither an ELF program of this byte order nor a script", path);
    if (interpreter && depth < TOOL_SCRIPTS_MAX) {
        tool_note(r, "script", "%s is run by %s; programs that it starts are not looked at", path, interpreter);
        check_file(r, interpreter, a, depth + 1);
    }
    free(interpreter);
    tool_elf_free(&e);
}

void tool_check_program(struct tool_report *r, const char *path, const char *library, bool accepts)
{
    check_file(r, path, &(struct asked){library, accepts}, 0);
}
