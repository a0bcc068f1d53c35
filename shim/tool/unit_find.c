/* SPDX-License-Identifier: MIT
 *
 * unit_find.c: from a service's name to its files (unit_find.h).
 */
#include "unit_find.h"
#include "tool.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Those that come first win. */
static const char *const directories[] = {
    "/etc/systemd/system.control",   "/run/systemd/system.control", "/run/systemd/transient",
    "/etc/systemd/system",           "/run/systemd/system",         "/run/systemd/generator",
    "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",     "/lib/systemd/system",
    "/run/systemd/generator.late",
};
enum { DIRECTORIES = sizeof directories / sizeof *directories, DROPINS_MAX = 256, NAMES_MAX = 8 };

struct search {
    const char *root;
    struct tool_found *found;
    char names[NAMES_MAX][256]; /* its own and its aliases' */
    unsigned name_count;
};

/* --- names --- */

bool tool_unit_name(const char *given, char name[256])
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\@";
    static const char *const others[] = {".socket", ".timer", ".target", ".mount", ".path", ".slice", ".scope"};
    size_t length = strlen(given);
    bool has_suffix = length > 8 && strcmp(given + length - 8, ".service") == 0;
    if (!length || length > 240 || given[strspn(given, allowed)] || *given == '.' || *given == '-')
        return false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (length > strlen(others[i]) && strcmp(given + length - strlen(others[i]), others[i]) == 0)
            return false;
    return snprintf(name, 256, "%s%s", given, has_suffix ? "" : ".service") < 256;
}

bool tool_unit_is_name(const char *name)
{
    char full[256];
    return tool_unit_name(name, full) && strcmp(full, name) == 0;
}

const char *tool_unit_directory(int i)
{
    return i < DIRECTORIES ? directories[i] : NULL;
}

bool tool_unit_is_template(const char *name)
{
    const char *mark = strchr(name, '@');
    return mark && strcmp(mark, "@.service") == 0;
}

/* "name@.service" of "name@instance.service"; false if there is no instance. */
static bool template_of(const char *name, char out[256])
{
    const char *mark = strchr(name, '@');
    if (!mark || tool_unit_is_template(name))
        return false;
    return snprintf(out, 256, "%.*s@.service", (int)(mark - name), name) < 256;
}

/* --- files --- */

static bool join(char out[PATH_MAX], const char *root, const char *directory, const char *name)
{
    return snprintf(out, PATH_MAX, "%s%s%s%s", root, directory, *name ? "/" : "", name) < PATH_MAX;
}

/* Where a symbolic link leads, one step, without the root; false: no link. */
static bool link_target(const char *path, char target[PATH_MAX])
{
    ssize_t n = readlink(path, target, PATH_MAX - 1);
    if (n <= 0)
        return false;
    target[n] = 0;
    return true;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void add_name(struct search *s, const char *name)
{
    for (unsigned i = 0; i < s->name_count; i++)
        if (strcmp(s->names[i], name) == 0)
            return;
    if (s->name_count < NAMES_MAX)
        snprintf(s->names[s->name_count++], 256, "%s", name);
}

/* The first directory that has it. */
static bool locate(struct search *s, const char *name)
{
    char *path = s->found->path;
    struct stat st;
    char full[PATH_MAX];
    for (int i = 0; i < DIRECTORIES; i++) {
        if (!join(path, "", directories[i], name) || !join(full, s->root, path, ""))
            continue;
        if (lstat(full, &st) == 0)
            return true;
    }
    *path = 0;
    return false;
}

/* An alias is a link to a unit of another name: that one is meant. An instance's link leads to its template, and stays
   itself. */
static bool resolve(struct search *s, char name[256], char *error)
{
    struct tool_found *f = s->found;
    char full[PATH_MAX], target[PATH_MAX], template[256];
    struct stat st;
    for (int hops = 0; hops < 8; hops++) {
        add_name(s, name);
        if (!locate(s, name) && !(template_of(name, template) && locate(s, template)))
            return snprintf(error, 512, "%s: there is no such unit", name), false;
        join(full, s->root, f->path, "");
        if (!link_target(full, target)) {
            f->masked = stat(full, &st) == 0 && st.st_size == 0;
            return true;
        }
        f->masked = strcmp(target, "/dev/null") == 0;
        const char *leads_to = last_part(target);
        if (f->masked || strcmp(leads_to, last_part(f->path)) == 0 ||
            (strchr(leads_to, '@') && !tool_unit_is_template(name)) || !tool_unit_name(leads_to, name))
            return true;
    }
    return snprintf(error, 512, "%s: its links lead in a circle", name), false;
}

/* Drop-ins of an alias count as well: links beside the units that lead to this one. */
static void add_aliases(struct search *s, const char *of)
{
    char full[PATH_MAX], target[PATH_MAX], name[256];
    struct dirent *entry;
    for (int i = 0; i < DIRECTORIES; i++) {
        DIR *dir = join(full, s->root, directories[i], "") ? opendir(full) : NULL;
        while (dir && (entry = readdir(dir))) {
            if (!tool_unit_name(entry->d_name, name) || strcmp(name, entry->d_name) != 0)
                continue;
            if (!join(full, s->root, directories[i], name) || !link_target(full, target))
                continue;
            if (strcmp(last_part(target), of) == 0)
                add_name(s, name);
        }
        if (dir)
            closedir(dir);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tool_dropin *)a)->name, ((const struct tool_dropin *)b)->name);
}

static void add_dropin(struct tool_found *f, const char *directory, const char *name)
{
    size_t length = strlen(name);
    if (length < 6 || strcmp(name + length - 5, ".conf") != 0 || *name == '.' || f->count == DROPINS_MAX)
        return;
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->dropins[i].name, name) == 0)
            return;
    snprintf(f->dropins[f->count].name, 256, "%s", name);
    if (join(f->dropins[f->count].path, "", directory, name))
        f->count++;
}

static void list_directory(struct search *s, const char *directory)
{
    char full[PATH_MAX];
    struct dirent *entry;
    DIR *dir = join(full, s->root, directory, "") ? opendir(full) : NULL;
    while (dir && (entry = readdir(dir)))
        add_dropin(s->found, directory, entry->d_name);
    if (dir)
        closedir(dir);
}

/* The names whose ".d" directories count for `name`, the most special first: itself, its template, foo-.service of
   foo-bar.service. */
static void list_for_name(struct search *s, const char *name)
{
    char of[256], directory[PATH_MAX], prefix[256];
    snprintf(of, sizeof of, "%s", name);
    while (true) {
        for (int i = 0; i < DIRECTORIES; i++)
            if (snprintf(directory, sizeof directory, "%s/%s.d", directories[i], of) < (int)sizeof directory)
                list_directory(s, directory);
        if (template_of(of, prefix)) {
            snprintf(of, sizeof of, "%s", prefix);
            continue;
        }
        char *dash = NULL, *end = strrchr(of, '.');
        for (char *at = of; end && at + 1 < end; at++)
            if (*at == '-')
                dash = at;
        if (!dash)
            break;
        snprintf(dash + 1, sizeof of - (size_t)(dash + 1 - of), ".service");
    }
}

static void list_dropins(struct search *s, const char *extra_name)
{
    struct tool_found *f = s->found;
    char directory[PATH_MAX];
    if (extra_name)
        snprintf(f->dropins[f->count++].name, 256, "%s", extra_name);
    for (unsigned i = 0; i < s->name_count; i++)
        list_for_name(s, s->names[i]);
    for (int i = 0; i < DIRECTORIES; i++) {
        snprintf(directory, sizeof directory, "%s/service.d", directories[i]);
        list_directory(s, directory);
    }
    qsort(f->dropins, f->count, sizeof *f->dropins, by_name);
}

bool tool_unit_find(const char *root, char name[256], const char *extra_name, struct tool_found *out, char error[512])
{
    struct search s = {.root = root, .found = out};
    *out = (struct tool_found){0};
    if (!resolve(&s, name, error))
        return false;
    out->dropins = tool_or_abort(calloc(DROPINS_MAX + 1, sizeof *out->dropins));
    add_aliases(&s, name);
    list_dropins(&s, extra_name);
    return true;
}
