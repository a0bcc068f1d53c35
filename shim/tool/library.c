/* SPDX-License-Identifier: MIT
 *
 * library.c: see library.h. Owns what ld.so.cache looks like.
 */
#include "library.h"
#include "preload.h"
#include "tool.h"
#include "unit_env.h"
#include <glob.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- ours --- */

bool tool_read_like(const char *path, const struct tool_elf *like, struct tool_elf *out)
{
    char error[256];
    if (!tool_elf_read(path, out, error))
        return false;
    if (out->elf && (!like || (out->machine == like->machine && out->bits == like->bits)))
        return true;
    tool_elf_free(out);
    return false;
}

char *tool_read_first(const char *root, const char *pattern, const struct tool_elf *like, struct tool_elf *out)
{
    char *full = tool_text("%s%s", root, pattern), *found = NULL;
    glob_t all = {0};
    glob(full, 0, NULL, &all);
    for (size_t i = 0; i < all.gl_pathc && !found; i++)
        if (tool_read_like(all.gl_pathv[i], like, out))
            found = tool_text("%s", all.gl_pathv[i] + strlen(root));
    globfree(&all);
    free(full);
    return found;
}

static char *find_library(const char *root, const char *pattern, const struct tool_elf *like)
{
    struct tool_elf e;
    char *found = tool_read_first(root, pattern, like, &e);
    if (found)
        tool_elf_free(&e);
    return found;
}

static char *beside_tool(const struct tool_elf *self)
{
    static const char *const places[] = {"../lib/libppshim.so", "../lib/*/libppshim.so", "../lib64/libppshim.so",
                                         "libppshim.so"};
    char *found = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places && !found; i++) {
        char *pattern = tool_beside(places[i]);
        found = pattern ? find_library("", pattern, self) : NULL;
        free(pattern);
    }
    char *real = found ? realpath(found, NULL) : NULL;
    free(found);
    return real;
}

char *tool_find_library(const char *root, bool beside)
{
    static const char *const places[] = {"/usr/lib/*/libppshim.so",     "/usr/lib/libppshim.so",
                                         "/usr/lib64/libppshim.so",     "/lib/*/libppshim.so",
                                         "/usr/local/lib/libppshim.so", "/usr/local/lib/*/libppshim.so"};
    struct tool_elf self;
    char error[256], *found = NULL;
    bool known = tool_elf_read("/proc/self/exe", &self, error);
    if (beside && !*root)
        found = beside_tool(known ? &self : NULL);
    for (size_t i = 0; i < sizeof places / sizeof *places && !found; i++)
        found = find_library(root, places[i], known ? &self : NULL);
    if (known)
        tool_elf_free(&self);
    return found;
}

/* --- what LD_PRELOAD names --- */

/* The part of /etc/ld.so.cache that glibc has written since 2.2: behind a header of 48 bytes, entries of 24. */
#define CACHE_MAGIC "glibc-ld.so.cache1.1"
#define CACHE_HEADER 48
#define CACHE_ENTRY 24

static uint32_t word_at(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* A text of the cache, whose offsets count from its header; "" if it lies outside. */
static const char *cache_text(const char *cache, size_t size, uint32_t offset)
{
    return offset < size && memchr(cache + offset, 0, size - offset) ? cache + offset : "";
}

static char *look_up_cache(const char *root, const char *name)
{
    size_t size;
    char *path = tool_text("%s/etc/ld.so.cache", root), *text = tool_slurp(path, &size), *found = NULL;
    const char *cache = text ? memmem(text, size, CACHE_MAGIC, strlen(CACHE_MAGIC)) : NULL;
    size -= cache ? (size_t)(cache - text) : 0;
    uint32_t count = cache && size >= CACHE_HEADER ? word_at(cache + 20) : 0;
    for (uint32_t i = 0; i < count && CACHE_HEADER + (i + UINT64_C(1)) * CACHE_ENTRY <= size && !found; i++) {
        const char *entry = cache + CACHE_HEADER + (size_t)i * CACHE_ENTRY;
        if (strcmp(cache_text(cache, size, word_at(entry + 4)), name) == 0)
            found = tool_text("%s", cache_text(cache, size, word_at(entry + 8)));
    }
    free(text);
    free(path);
    return found;
}

/* As they are built into Debian's, Red Hat's and musl's linkers. */
static char *look_up_places(const char *root, const char *name)
{
    static const char *const places[] = {"/lib/*-linux-*/", "/usr/lib/*-linux-*/", "/lib64/", "/usr/lib64/", "/lib/",
                                         "/usr/lib/"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct tool_elf e;
        char *pattern = tool_text("%s%s", places[i], name), *found = tool_read_first(root, pattern, NULL, &e);
        free(pattern);
        if (!found)
            continue;
        tool_elf_free(&e);
        return found;
    }
    return NULL;
}

char *tool_resolve_preload(const char *root, const char *entry)
{
    if (!strchr(entry, '/')) {
        char *found = look_up_cache(root, entry);
        return found ? found : strpbrk(entry, "*?[") ? NULL : look_up_places(root, entry);
    }
    char *full = tool_text("%s%s", root, entry);
    bool there = access(full, F_OK) == 0;
    free(full);
    return there ? tool_text("%s", entry) : NULL;
}
