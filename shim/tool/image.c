/* SPDX-License-Identifier: MIT
 *
 * image.c: see image.h. Owns what /proc/PID/maps, environ, auxv and the memory behind ppshim_status look like.
 */
#include "image.h"
#include "proc.h"
#include "tool.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define TEXT_MAX (1 << 20) /* of a list */

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *tool_image_name(const struct tool_image *i)
{
    return last_part(i->program);
}

/* Cuts the kernel's mark of a file that is gone. */
static bool cut_deleted(char *path)
{
    static const char gone[] = " (deleted)";
    size_t length = strlen(path), tail = sizeof gone - 1;
    if (length <= tail || strcmp(path + length - tail, gone) != 0)
        return false;
    path[length - tail] = 0;
    return true;
}

/* --- what it has mapped --- */

static void take_ours(struct tool_image *i, const char *path, bool deleted, const char *range, bool executable)
{
    i->deleted |= deleted;
    if (!*i->library) {
        snprintf(i->library, sizeof i->library, "%s", path);
        snprintf(i->range, sizeof i->range, "%s", range);
    }
    i->mapped = true;
    i->loaded |= executable;
}

/* A file that it has mapped: itself, as root alone may have it; else by its name, in the process' root or in ours, for
   the root of a process that changed it later holds none of its libraries. */
static bool read_file(pid_t pid, const char *range, const char *name, struct tool_elf *e)
{
    char path[PATH_MAX], rest[PATH_MAX + 16], error[256];
    snprintf(rest, sizeof rest, "map_files/%s", range);
    if (tool_proc_path(path, pid, rest) && tool_elf_read(path, e, error))
        return true;
    snprintf(rest, sizeof rest, "root%s", name);
    return (tool_proc_path(path, pid, rest) && tool_elf_read(path, e, error)) || tool_elf_read(name, e, error);
}

/* A library that it may accept by; libc itself is no sign. */
static void take_other(struct tool_image *i, const char *path, const char *range)
{
    struct tool_elf e;
    if (i->accepts != TOOL_ACCEPTS_NEVER || tool_elf_is_libc(last_part(path)) || !read_file(i->pid, range, path, &e))
        return;
    if (e.imports & TOOL_IMPORTS_ANY_ACCEPT)
        i->accepts = TOOL_ACCEPTS_PERHAPS;
    tool_elf_free(&e);
}

static void take_mapping(struct tool_image *i, char *line)
{
    char range[64], permissions[8];
    int at = 0;
    line[strcspn(line, "\n")] = 0;
    if (sscanf(line, "%63s %7s %*s %*s %*s %n", range, permissions, &at) < 2 || !at || line[at] != '/')
        return;
    char *path = line + at;
    bool deleted = cut_deleted(path), executable = permissions[2] == 'x';
    if (strncmp(last_part(path), "libppshim", 9) == 0)
        take_ours(i, path, deleted, range, executable);
    else if (executable && strcmp(path, i->program) != 0)
        take_other(i, path, range);
}

static bool read_maps(struct tool_image *i)
{
    char *line = NULL;
    size_t size = 0;
    FILE *file = tool_proc_open(i->pid, "maps");
    while (file && getline(&line, &size, file) > 0)
        take_mapping(i, line);
    free(line);
    bool good = file && !ferror(file);
    if (file)
        fclose(file);
    return good;
}

/* --- how it was started --- */

static bool read_secure(const struct tool_image *i)
{
    unsigned long pair[2];
    uint32_t small[2];
    bool secure = false;
    FILE *file = tool_proc_open(i->pid, "auxv");
    if (i->elf.bits == 32 && sizeof(long) == 8)
        while (file && fread(small, sizeof small, 1, file) == 1)
            secure |= small[0] == AT_SECURE && small[1];
    else
        while (file && fread(pair, sizeof pair, 1, file) == 1)
            secure |= pair[0] == AT_SECURE && pair[1];
    if (file)
        fclose(file);
    return secure;
}

static bool read_environment(struct tool_image *i)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = tool_proc_open(i->pid, "environ");
    while (file && getdelim(&text, &size, 0, file) > 0)
        if ((strncmp(text, "PPSHIM_", 7) == 0 || strncmp(text, "LD_PRELOAD=", 11) == 0) && strchr(text, '=') &&
            !tool_env_find(&i->env, text)) /* the first counts, as getenv has it */
            tool_env_set(&i->env, text, "its environment", 0);
    free(text);
    bool good = file && !ferror(file);
    if (file)
        fclose(file);
    i->sees_env = i->env.count;
    return good;
}

static bool mentions(pid_t pid, const char *rest, int end, const char *one, const char *other)
{
    char *text = NULL;
    size_t size = 0;
    bool found = false;
    FILE *file = tool_proc_open(pid, rest);
    while (file && !found && getdelim(&text, &size, end, file) > 0)
        found = strstr(text, one) || strstr(text, other);
    free(text);
    if (file)
        fclose(file);
    return found;
}

bool tool_image_is_meant(pid_t pid)
{
    return mentions(pid, "maps", '\n', "/libppshim.so", "/libppshim-") ||
           mentions(pid, "environ", 0, "PPSHIM_TRUST=", "PPSHIM_HEADER_OPTIONAL=");
}

/* --- what the library says --- */

static bool read_memory(pid_t pid, const void *at, void *out, size_t size)
{
    return tool_proc_memory(pid, (uintptr_t)at, out, size);
}

/* Where its status is in that process; 0: it has none, or that cannot be told. */
static uint64_t find_status(struct tool_image *i)
{
    struct tool_elf e;
    uint64_t base;
    if (!i->loaded || sscanf(i->range, "%" SCNx64, &base) != 1 || (i->deleted && geteuid() != 0) ||
        !read_file(i->pid, i->range, i->library, &e))
        return 0;
    uint64_t at = e.status_at;
    i->mute = !at;
    tool_elf_free(&e);
    return at ? base + at : 0;
}

static void read_status(struct tool_image *i)
{
    struct pps_status status = {0};
    uint64_t at = i->gate.at ? i->gate.status : find_status(i);
    i->tells = at && tool_proc_memory(i->pid, at, &status, sizeof status) && status.size >= sizeof status;
    i->settings = status.settings;
    i->on = status.on;
    i->has_accepted = status.accepts;
    i->config_there = status.config_size == sizeof *status.config ? status.config : NULL;
}

/* The text at *there, copied; byte by byte, for it may end just before a page that is not there. false: no text. */
static bool copy_text(pid_t pid, const char **there)
{
    char *copy = NULL;
    size_t size;
    const char *at = *there;
    bool good = true;
    if (!at)
        return true;
    FILE *to = tool_or_abort(open_memstream(&copy, &size));
    for (char c = 1; good && c; at++) {
        good = at - *there < TEXT_MAX && read_memory(pid, at, &c, 1);
        if (good && c)
            fputc(c, to);
    }
    fclose(to);
    *there = copy;
    return good;
}

bool tool_image_config(const struct tool_image *i, struct pps_config *out)
{
    bool read = i->tells && i->config_there && read_memory(i->pid, i->config_there, out, sizeof *out);
    out->log_path = out->stats = NULL; /* not asked for */
    return read && copy_text(i->pid, &out->trust) && copy_text(i->pid, &out->header_optional) &&
           copy_text(i->pid, &out->client_allow) && copy_text(i->pid, &out->client_deny) &&
           copy_text(i->pid, &out->limit_exempt);
}

/* --- the whole --- */

static bool calls_the_kernel(const struct tool_elf *e)
{
    return e->elf && (!e->dynamic || e->is_go);
}

static enum tool_accepts accepts_of(const struct tool_elf *e)
{
    return calls_the_kernel(e) || e->imports & TOOL_IMPORTS_ANY_ACCEPT ? TOOL_ACCEPTS_ITSELF : TOOL_ACCEPTS_NEVER;
}

/* One that may still load the library is not judged yet. */
static bool is_unhindered(const struct tool_image *i)
{
    return calls_the_kernel(&i->elf) && !i->gate.at && (!i->elf.dynamic || i->loaded);
}

bool tool_image_is_injected(const struct tool_image *i)
{
    return i->gate.at && i->go.is_static;
}

bool tool_image_read(struct tool_image *out, pid_t pid)
{
    char path[PATH_MAX], error[256];
    *out = (struct tool_image){.pid = pid};
    tool_proc_path(path, pid, "exe");
    ssize_t n = readlink(path, out->program, sizeof out->program - 1);
    if (n < 0)
        return false;
    out->program[n] = 0;
    cut_deleted(out->program);
    tool_elf_read(path, &out->elf, error);
    tool_go_read(path, &out->elf, &out->go);
    out->elf.is_go |= out->go.is_go;
    out->accepts = accepts_of(&out->elf);
    out->traced = tool_proc_is_traced(pid); /* who puts the gate there lets go afterwards */
    tool_gate_find(pid, &out->go, &out->gate);
    out->secure = read_secure(out);
    errno = EACCES; /* where stdio does not say */
    if (!read_maps(out) || !read_environment(out))
        return false;
    out->loaded |= tool_image_is_injected(out);
    if (is_unhindered(out))
        out->accepts = TOOL_ACCEPTS_UNHINDERED;
    read_status(out);
    return true;
}

void tool_image_free(struct tool_image *i)
{
    tool_env_free(&i->env);
    tool_elf_free(&i->elf);
}
