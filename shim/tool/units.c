/* SPDX-License-Identifier: MIT
 *
 * units.c: see units.h.
 */
#include "units.h"
#include "tool.h"
#include "unit_find.h"
#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_name(struct tool_names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->list[i], name) == 0)
            return;
    n->list = tool_or_abort(realloc(n->list, (n->count + 1) * sizeof *n->list));
    n->list[n->count++] = tool_text("%s", name);
}

void tool_names_free(struct tool_names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->list[i]);
    free(n->list);
    *n = (struct tool_names){0};
}

/* "x.service" and "x.service.d" of a directory; a name that a link or a drop-in leads elsewhere is resolved. */
static void add_entry(const char *root, struct tool_names *n, const char *entry)
{
    struct tool_found found;
    char name[256], error[512];
    snprintf(name, sizeof name, "%.250s", entry);
    size_t length = strlen(name);
    if (length > 2 && strcmp(name + length - 2, ".d") == 0)
        name[length - 2] = 0;
    if (!tool_unit_is_name(name) || !tool_unit_find(root, name, NULL, &found, error))
        return;
    free(found.dropins);
    if (!found.masked)
        add_name(n, name);
}

static void add_directory(const char *root, const char *directory, struct tool_names *n)
{
    char *full = tool_text("%s%s", root, directory);
    struct dirent *entry;
    DIR *dir = opendir(full);
    while (dir && (entry = readdir(dir)))
        add_entry(root, n, entry->d_name);
    if (dir)
        closedir(dir);
    free(full);
}

/* postgresql@15-main of each /etc/postgresql/15/main. */
static void add_clusters(const char *root, struct tool_names *n)
{
    char *pattern = tool_text("%s/etc/postgresql/*/*/postgresql.conf", root);
    glob_t found = {0};
    glob(pattern, 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char version[32], cluster[64], name[128];
        if (sscanf(found.gl_pathv[i] + strlen(root), "/etc/postgresql/%31[^/]/%63[^/]/", version, cluster) == 2) {
            snprintf(name, sizeof name, "postgresql@%s-%s.service", version, cluster);
            add_name(n, name);
        }
    }
    globfree(&found);
    free(pattern);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void tool_units_all(const char *root, struct tool_names *out)
{
    *out = (struct tool_names){0};
    const char *directory;
    for (int i = 0; (directory = tool_unit_directory(i)); i++)
        add_directory(root, directory, out);
    add_clusters(root, out);
    if (out->count)
        qsort(out->list, out->count, sizeof *out->list, by_name);
}

bool tool_unit_is_governed(const struct tool_unit *u)
{
    for (size_t i = 0; i < u->env.count; i++) {
        const char *text = u->env.variables[i].text;
        if (strncmp(text, "PPSHIM_", 7) == 0 || (strncmp(text, "LD_PRELOAD=", 11) == 0 && strstr(text, "libppshim")))
            return true;
    }
    return u->env.lost.text || u->env.ignored_count;
}

void tool_units_governed(const char *root, struct tool_names *out)
{
    struct tool_names all;
    *out = (struct tool_names){0};
    tool_units_all(root, &all);
    for (size_t i = 0; i < all.count; i++) {
        struct tool_unit u;
        char error[512];
        if (!tool_unit_read(&u, root, all.list[i], NULL, NULL, error))
            continue;
        if (tool_unit_is_governed(&u))
            add_name(out, u.name);
        tool_unit_free(&u);
    }
    tool_names_free(&all);
}

/* --- units that stand for others --- */

/* Those of these names that begin so, without ".service". */
static char *joined(const struct tool_names *n, const char *prefix)
{
    char *text = NULL;
    size_t size;
    FILE *to = tool_or_abort(open_memstream(&text, &size));
    const char *between = "";
    for (size_t i = 0; i < n->count; i++)
        if (strncmp(n->list[i], prefix, strlen(prefix)) == 0) {
            fprintf(to, "%s%.*s", between, (int)(strlen(n->list[i]) - strlen(".service")), n->list[i]);
            between = ", ";
        }
    fclose(to);
    return text;
}

char *tool_unit_stands_for(const struct tool_unit *u)
{
    if (strcmp(u->name, "postfix.service") == 0 && u->exec_start && strstr(u->exec_start, "/true"))
        return tool_text("postfix@-");
    if (strcmp(u->name, "postgresql.service") != 0 && strcmp(u->name, "postgresql@.service") != 0)
        return NULL;
    struct tool_names clusters = {0};
    add_clusters(u->root, &clusters);
    if (clusters.count)
        qsort(clusters.list, clusters.count, sizeof *clusters.list, by_name);
    char *text = joined(&clusters, "postgresql@");
    tool_names_free(&clusters);
    if (*text)
        return text;
    free(text);
    return tool_text("postgresql@15-main, for example");
}
