/* SPDX-License-Identifier: MIT
 *
 * unit_file.c: unit files and drop-ins to struct tool_unit (unit_file.h), as systemd.unit(5) and systemd.exec(5) say.
 */
#include "unit_file.h"
#include "tool.h"
#include "unit_find.h"
#include "unit_lines.h"
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* While a unit is read: what the assignments gather. */
struct reading {
    struct tool_unit *unit;
    struct tool_env environment;
    char **files, **unset;
    size_t file_count, unset_count;
    bool restarts;
    const char *file; /* that is read now */
};

/* --- names --- */

static bool hex_escape(const char *at, unsigned *byte)
{
    return at[0] == '\\' && at[1] == 'x' && isxdigit((unsigned char)at[2]) && isxdigit((unsigned char)at[3]) &&
           sscanf(at + 2, "%2x", byte) == 1 && *byte;
}

static char *instance_of(const char *name, bool decoded)
{
    const char *mark = strchr(name, '@');
    size_t length = mark ? strlen(mark + 1) - strlen(".service") : 0;
    char *text = tool_text("%.*s", (int)length, mark ? mark + 1 : ""), *out = text;
    for (const char *at = text; decoded && *at; out++) {
        unsigned byte;
        if (hex_escape(at, &byte)) {
            *out = (char)byte;
            at += 4;
        } else {
            *out = *at == '-' ? '/' : *at;
            at++;
        }
    }
    if (decoded)
        *out = 0;
    return text;
}

/* %i and its like, and %%; others stay as they are, and so does the instance's name in a template. */
static char *expand(const struct tool_unit *u, const char *text)
{
    const char *known = tool_unit_is_template(u->name) ? "%p" : "%iInNp";
    char *out = NULL;
    size_t size;
    FILE *to = tool_or_abort(open_memstream(&out, &size));
    for (; *text; text++) {
        char *instance = NULL;
        if (*text != '%' || !text[1] || !strchr(known, text[1])) {
            fputc(*text, to);
            continue;
        }
        switch (*++text) {
        case '%':
            fputc('%', to);
            break;
        case 'i':
        case 'I':
            fputs(instance = instance_of(u->name, *text == 'I'), to);
            break;
        case 'n':
            fputs(u->name, to);
            break;
        case 'N':
            fprintf(to, "%.*s", (int)(strlen(u->name) - strlen(".service")), u->name);
            break;
        case 'p':
            fprintf(to, "%.*s", (int)strcspn(u->name, strchr(u->name, '@') ? "@" : "."), u->name);
            break;
        }
        free(instance);
    }
    fclose(to);
    return out;
}

/* --- assignments --- */

static void append(char ***list, size_t *count, char *text)
{
    *list = tool_or_abort(realloc(*list, (*count + 1) * sizeof **list));
    (*list)[(*count)++] = text;
}

static void empty(char ***list, size_t *count)
{
    while (*count)
        free((*list)[--*count]);
    free(*list);
    *list = NULL;
}

static bool is_yes(const char *value)
{
    static const char *const no[] = {"no", "n", "false", "f", "off", "0", ""};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (strcasecmp(value, no[i]) == 0)
            return false;
    return true;
}

/* A word that is no assignment is skipped, and so is what follows one that cannot be read: nothing else tells. */
static void take_environment(struct reading *r, const char *value, const char *file, unsigned line)
{
    const char *at = value;
    char *word;
    bool good = true;
    if (!*value)
        tool_env_clear(&r->environment);
    while (good && (word = tool_next_word(&at, &good))) {
        char *text = expand(r->unit, word);
        if (!good || !tool_env_take(&r->environment, text, file, line))
            tool_env_ignore(&r->environment, good ? text : value, value, file, line);
        free(text);
        free(word);
    }
}

static void take_unset(struct reading *r, const char *value)
{
    char *word;
    bool good = true;
    if (!*value)
        empty(&r->unset, &r->unset_count);
    while ((word = tool_next_word(&value, &good)))
        append(&r->unset, &r->unset_count, word);
}

static void take_file(struct reading *r, const char *value)
{
    if (!*value)
        empty(&r->files, &r->file_count);
    else
        append(&r->files, &r->file_count, expand(r->unit, value));
}

static void take_exec(struct reading *r, const char *value)
{
    free(r->unit->exec_start);
    r->unit->exec_start = *value ? expand(r->unit, value) : NULL;
}

/* Words like "-/home:ro": the place in the service's own view. */
static void take_paths(struct tool_paths *p, const struct tool_unit *u, const char *value)
{
    char *word;
    bool good = true;
    if (!*value)
        empty(&p->list, &p->count);
    while ((word = tool_next_word(&value, &good))) {
        char *full = expand(u, word + strspn(word, "-+"));
        full[strcspn(full, ":")] = 0;
        append(&p->list, &p->count, full);
        free(word);
    }
}

/* "/outside:/inside" of Bind...Paths=. */
static void take_bound(struct tool_paths *p, const char *value)
{
    char *word;
    bool good = true;
    if (!*value)
        empty(&p->list, &p->count);
    while ((word = tool_next_word(&value, &good))) {
        const char *inside = strchr(word, ':');
        char *path = tool_text("%s", inside && inside[1] == '/' ? inside + 1 : word + strspn(word, "-+"));
        path[strcspn(path, ":")] = 0;
        append(&p->list, &p->count, path);
        free(word);
    }
}

static void take_filter(struct tool_paths *p, const char *value)
{
    char *word;
    bool good = true, back = *value == '~';
    if (!*value)
        empty(&p->list, &p->count);
    value += back;
    while ((word = tool_next_word(&value, &good))) {
        append(&p->list, &p->count, tool_text("%s%s", back ? "~" : "", word));
        free(word);
    }
}

static void take_sandbox(struct tool_unit *u, const char *key, const char *value)
{
    if (strcmp(key, "ProtectHome") == 0)
        u->protects_home = is_yes(value) && strcmp(value, "read-only") != 0;
    else if (strcmp(key, "PrivateTmp") == 0)
        u->private_tmp = is_yes(value);
    else if (strcmp(key, "NoExecPaths") == 0)
        take_paths(&u->no_exec, u, value);
    else if (strcmp(key, "ExecPaths") == 0)
        take_paths(&u->exec, u, value);
    else if (strcmp(key, "InaccessiblePaths") == 0 || strcmp(key, "TemporaryFileSystem") == 0)
        take_paths(&u->hidden, u, value);
    else if (strcmp(key, "BindPaths") == 0 || strcmp(key, "BindReadOnlyPaths") == 0)
        take_bound(&u->bound, value);
    else if (strcmp(key, "SystemCallFilter") == 0)
        take_filter(&u->calls, value);
    else if (strcmp(key, "RestrictAddressFamilies") == 0)
        take_filter(&u->families, value);
    else if (strcmp(key, "RootImage") == 0)
        u->own_root = u->root_image = *value;
    else if (strcmp(key, "RootDirectory") == 0) {
        u->own_root = *value;
        snprintf(u->root_directory, sizeof u->root_directory, "%s", strcmp(value, "/") == 0 ? "" : value);
    }
}

static void take_assignment(struct reading *r, const char *key, const char *value, const char *file, unsigned line)
{
    struct tool_unit *u = r->unit;
    if (strcmp(key, "Environment") == 0)
        take_environment(r, value, file, line);
    else if (strcmp(key, "EnvironmentFile") == 0)
        take_file(r, value);
    else if (strcmp(key, "UnsetEnvironment") == 0)
        take_unset(r, value);
    else if (strcmp(key, "ExecStart") == 0)
        take_exec(r, value);
    else if (strcmp(key, "Type") == 0)
        u->oneshot = strcmp(value, "oneshot") == 0;
    else if (strcmp(key, "User") == 0)
        snprintf(u->user, sizeof u->user, "%s", value);
    else if (strcmp(key, "Group") == 0 || strcmp(key, "SupplementaryGroups") == 0)
        u->more_groups |= *value;
    else if (strcmp(key, "StandardInput") == 0)
        u->on_socket = strcmp(value, "socket") == 0;
    else if (strcmp(key, "Restart") == 0)
        r->restarts = *value && strcmp(value, "no") != 0;
    else if (strcmp(key, "RestartPreventExitStatus") == 0)
        u->prevents_restart = *value && (u->prevents_restart || strstr(value, "78") || strstr(value, "CONFIG"));
    else
        take_sandbox(u, key, value);
}

static void take_line(void *with, const char *key, const char *value, unsigned line)
{
    struct reading *r = with;
    take_assignment(r, key, value, r->file, line);
}

/* --- the whole --- */

static char *slurp(const struct tool_unit *u, const char *path)
{
    char *full = tool_text("%s%s", u->root, path), *text = tool_slurp(full, NULL);
    free(full);
    return text;
}

static void parse_text(struct reading *r, char *text, const char *file)
{
    r->file = file;
    if (text)
        tool_unit_lines(text, "[Service]", take_line, r);
    free(text);
}

static void parse_all(struct reading *r, const struct tool_found *f, const char *extra)
{
    parse_text(r, slurp(r->unit, f->path), f->path);
    for (size_t i = 0; i < f->count; i++) {
        const struct tool_dropin *d = &f->dropins[i];
        if (*d->path)
            parse_text(r, slurp(r->unit, d->path), d->path);
        else
            parse_text(r, tool_text("%s", extra), d->name);
    }
}

static void read_environment_file(struct reading *r, const char *pattern)
{
    struct tool_unit *u = r->unit;
    glob_t found = {0};
    bool optional = *pattern == '-', any = false;
    pattern += optional;
    char *full = tool_text("%s%s", u->root, pattern);
    glob(full, 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++)
        any |= tool_env_read_file(&u->env, found.gl_pathv[i], found.gl_pathv[i] + strlen(u->root));
    globfree(&found);
    free(full);
    bool of_instance = tool_unit_is_template(u->name) && strchr(pattern, '%');
    if (!any && !optional && !of_instance && !u->missing_file)
        u->missing_file = strdup(pattern);
}

/* "/etc/postgresql/15/main" of postgresql@15-main.service. */
static void name_cluster(struct tool_unit *u)
{
    char *instance = instance_of(u->name, true);
    if (strncmp(u->name, "postgresql@", 11) == 0 && strchr(instance, '/') && !strstr(instance, ".."))
        snprintf(u->cluster, sizeof u->cluster, "/etc/postgresql/%.200s", instance);
    free(instance);
}

/* Its start script empties the environment, and fills it from this file alone. */
static void read_cluster(struct tool_unit *u)
{
    char *shown = tool_text("%s/environment", u->cluster), *text = slurp(u, shown);
    tool_env_free(&u->env);
    if (text)
        tool_env_take_postgresql(&u->env, text, shown);
    free(text);
    free(shown);
}

static void merge_environment(struct reading *r)
{
    struct tool_unit *u = r->unit;
    u->env = r->environment;
    r->environment = (struct tool_env){0};
    for (size_t i = 0; i < r->file_count; i++)
        read_environment_file(r, r->files[i]);
    if (r->file_count)
        u->last_file = tool_text("%s", r->files[r->file_count - 1] + (*r->files[r->file_count - 1] == '-'));
    for (size_t i = 0; i < r->unset_count; i++)
        tool_env_unset(&u->env, r->unset[i]);
    empty(&r->files, &r->file_count);
    empty(&r->unset, &r->unset_count);
    if (*u->cluster)
        read_cluster(u);
}

const char *tool_unit_user(const struct tool_unit *u)
{
    return *u->cluster ? "postgres" : u->user;
}

bool tool_unit_read(struct tool_unit *u, const char *root, const char *name, const char *extra_name, const char *extra,
                    char error[512])
{
    struct reading r = {.unit = u};
    struct tool_found found;
    *u = (struct tool_unit){.root = root};
    snprintf(u->name, sizeof u->name, "%s", name);
    name_cluster(u);
    if (!tool_unit_find(root, u->name, extra ? extra_name : NULL, &found, error))
        return false;
    snprintf(u->path, sizeof u->path, "%s", found.path);
    u->masked = found.masked;
    if (!u->masked)
        parse_all(&r, &found, extra);
    free(found.dropins);
    u->prevents_restart |= !r.restarts;
    merge_environment(&r);
    return true;
}

void tool_unit_free(struct tool_unit *u)
{
    enum { LISTS = 6 };
    struct tool_paths *paths[LISTS] = {&u->no_exec, &u->exec, &u->hidden, &u->bound, &u->calls, &u->families};
    for (size_t i = 0; i < LISTS; i++)
        empty(&paths[i]->list, &paths[i]->count);
    tool_env_free(&u->env);
    free(u->exec_start);
    free(u->last_file);
    free(u->missing_file);
    *u = (struct tool_unit){0};
}
