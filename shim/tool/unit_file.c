/* SPDX-License-Identifier: MIT
 *
 * unit_file.c: unit files and drop-ins to struct tool_unit (unit_file.h), as systemd.unit(5) and systemd.exec(5) say.
 */
#include "unit_file.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const directories[] = {
    "/etc/systemd/system.control",   "/run/systemd/system.control", "/run/systemd/transient",
    "/etc/systemd/system",           "/run/systemd/system",         "/run/systemd/generator",
    "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",     "/lib/systemd/system",
    "/run/systemd/generator.late",
};
enum { DIRECTORIES = sizeof directories / sizeof *directories, DROPINS_MAX = 256, NAMES_MAX = 8 };

/* While a unit is read: what the assignments gather. */
struct reading {
    struct tool_unit *unit;
    struct tool_env environment;
    char **files, **unset;
    size_t file_count, unset_count;
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

/* "name@.service" of "name@instance.service"; false if there is no instance. */
static bool template_of(const char *name, char out[256])
{
    const char *mark = strchr(name, '@');
    if (!mark || strcmp(mark, "@.service") == 0)
        return false;
    return snprintf(out, 256, "%.*s@.service", (int)(mark - name), name) < 256;
}

static char *instance_of(const char *name, bool decoded)
{
    const char *mark = strchr(name, '@');
    size_t length = mark ? strlen(mark + 1) - strlen(".service") : 0;
    char *text = strndup(mark ? mark + 1 : "", length), *out = text;
    if (!text)
        abort();
    for (const char *at = text; decoded && *at; out++) {
        unsigned byte;
        if (sscanf(at, "\\x%2x", &byte) == 1 && byte) {
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

/* %i and its like, and %%; others stay as they are. */
static char *expand(const struct tool_unit *u, const char *text)
{
    char *out = NULL;
    size_t size;
    FILE *to = open_memstream(&out, &size);
    if (!to)
        abort();
    for (; *text; text++) {
        char *instance = NULL;
        if (*text != '%' || !text[1] || !strchr("%iInNp", text[1])) {
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
    *list = realloc(*list, (*count + 1) * sizeof **list);
    if (!*list)
        abort();
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

static void take_environment(struct reading *r, const char *value, const char *file, unsigned line)
{
    char *word;
    bool good = true;
    if (!*value)
        tool_env_clear(&r->environment);
    while ((word = tool_next_word(&value, &good))) {
        char *text = expand(r->unit, word);
        if (good && strchr(text, '='))
            tool_env_set(&r->environment, text, file, line);
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
    else if (strcmp(key, "User") == 0)
        snprintf(u->user, sizeof u->user, "%s", value);
    else if (strcmp(key, "ProtectHome") == 0)
        u->protects_home = is_yes(value) && strcmp(value, "read-only") != 0;
    else if (strcmp(key, "PrivateTmp") == 0)
        u->private_tmp = is_yes(value);
    else if (strcmp(key, "RootDirectory") == 0 || strcmp(key, "RootImage") == 0)
        u->own_root = *value;
    else if (strcmp(key, "RestartPreventExitStatus") == 0)
        u->prevents_restart = *value && (u->prevents_restart || strstr(value, "78") || strstr(value, "CONFIG"));
}

/* A line and the ones it goes on in, joined by spaces; comments between them are skipped. NULL at the end. */
static char *logical_line(char **rest, unsigned *number)
{
    char *first = NULL, *out = NULL, *line;
    while ((line = strsep(rest, "\n"))) {
        size_t length = strlen(line);
        ++*number;
        if (strchr("#;", line[strspn(line, " \t")]) && line[strspn(line, " \t")]) {
            if (first)
                continue;
            return line;
        }
        bool goes_on = length && line[length - 1] == '\\';
        if (goes_on)
            line[length - 1] = ' ';
        if (!first)
            first = out = line;
        else
            memmove(out, line, length + 1);
        out += length;
        if (!goes_on)
            break;
    }
    return first;
}

static void trim(char *text)
{
    size_t length = strlen(text);
    while (length && isspace((unsigned char)text[length - 1]))
        text[--length] = 0;
}

static void parse(struct reading *r, char *text, const char *file)
{
    bool in_service = false;
    unsigned number = 0;
    char *line, *rest = text;
    while (rest) {
        unsigned begins = number + 1;
        if (!(line = logical_line(&rest, &number)))
            break;
        line += strspn(line, " \t\r");
        trim(line);
        if (*line == '[')
            in_service = strcmp(line, "[Service]") == 0;
        char *value = strchr(line, '=');
        if (!in_service || !value || strchr("#;[", *line))
            continue;
        *value++ = 0;
        trim(line);
        take_assignment(r, line, value + strspn(value, " \t\r"), file, begins);
    }
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

static void add_name(struct reading *r, const char *name)
{
    for (unsigned i = 0; i < r->name_count; i++)
        if (strcmp(r->names[i], name) == 0)
            return;
    if (r->name_count < NAMES_MAX)
        snprintf(r->names[r->name_count++], 256, "%s", name);
}

/* The first directory that has it. */
static bool locate(struct tool_unit *u, const char *name)
{
    struct stat st;
    char full[PATH_MAX];
    for (int i = 0; i < DIRECTORIES; i++) {
        if (!join(u->path, "", directories[i], name) || !join(full, u->root, u->path, ""))
            continue;
        if (lstat(full, &st) == 0)
            return true;
    }
    *u->path = 0;
    return false;
}

/* An alias is a link to a unit of another name: that one is meant. An instance's link leads to its template. */
static bool resolve(struct reading *r, char *error)
{
    struct tool_unit *u = r->unit;
    char full[PATH_MAX], target[PATH_MAX], template[256];
    for (int hops = 0; hops < 8; hops++) {
        add_name(r, u->name);
        bool found = locate(u, u->name) || (template_of(u->name, template) && locate(u, template));
        if (!found)
            return snprintf(error, 512, "%s: there is no such unit", u->name), false;
        join(full, u->root, u->path, "");
        struct stat st;
        if (!link_target(full, target)) {
            u->masked = stat(full, &st) == 0 && st.st_size == 0;
            return true;
        }
        const char *name = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
        u->masked = strcmp(target, "/dev/null") == 0;
        if (u->masked || strcmp(name, strrchr(u->path, '/') + 1) == 0 || strchr(name, '@') ||
            !tool_unit_name(name, u->name))
            return true;
    }
    return snprintf(error, 512, "%s: its links lead in a circle", u->name), false;
}

/* Drop-ins of an alias count as well: links beside the units that lead to this one. */
static void add_aliases(struct reading *r)
{
    char full[PATH_MAX], target[PATH_MAX], name[256];
    struct dirent *entry;
    for (int i = 0; i < DIRECTORIES; i++) {
        DIR *dir = join(full, r->unit->root, directories[i], "") ? opendir(full) : NULL;
        while (dir && (entry = readdir(dir))) {
            if (!tool_unit_name(entry->d_name, name) || strcmp(name, entry->d_name) != 0)
                continue;
            if (!join(full, r->unit->root, directories[i], name) || !link_target(full, target))
                continue;
            const char *leads_to = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
            if (strcmp(leads_to, r->unit->name) == 0)
                add_name(r, name);
        }
        if (dir)
            closedir(dir);
    }
}

struct dropin {
    char name[256], path[PATH_MAX]; /* without the root */
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct dropin *)a)->name, ((const struct dropin *)b)->name);
}

static void add_dropin(struct dropin *list, size_t *count, const char *directory, const char *name)
{
    size_t length = strlen(name);
    if (length < 6 || strcmp(name + length - 5, ".conf") != 0 || *name == '.' || *count == DROPINS_MAX)
        return;
    for (size_t i = 0; i < *count; i++)
        if (strcmp(list[i].name, name) == 0)
            return;
    snprintf(list[*count].name, 256, "%s", name);
    if (join(list[*count].path, "", directory, name))
        ++*count;
}

static void list_directory(const struct tool_unit *u, const char *directory, struct dropin *list, size_t *count)
{
    char full[PATH_MAX];
    struct dirent *entry;
    DIR *dir = join(full, u->root, directory, "") ? opendir(full) : NULL;
    while (dir && (entry = readdir(dir)))
        add_dropin(list, count, directory, entry->d_name);
    if (dir)
        closedir(dir);
}

/* The names whose ".d" directories count for `name`, the most special first: itself, its template, foo-.service of
   foo-bar.service, and service. */
static void list_for_name(const struct tool_unit *u, const char *name, struct dropin *list, size_t *count)
{
    char of[256], directory[PATH_MAX], prefix[256];
    snprintf(of, sizeof of, "%s", name);
    do {
        for (int i = 0; i < DIRECTORIES; i++)
            if (snprintf(directory, sizeof directory, "%s/%s.d", directories[i], of) < (int)sizeof directory)
                list_directory(u, directory, list, count);
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
    } while (true);
}

static void parse_file(struct reading *r, const char *path)
{
    char full[PATH_MAX];
    char *text = join(full, r->unit->root, path, "") ? tool_slurp(full, NULL) : NULL;
    if (text)
        parse(r, text, path);
    free(text);
}

/* The unit file, then the drop-ins in the order of their names. */
static void parse_all(struct reading *r, const char *extra_name, const char *extra)
{
    size_t count = 0;
    struct dropin *list = calloc(DROPINS_MAX + 1, sizeof *list);
    if (!list)
        abort();
    parse_file(r, r->unit->path);
    if (extra) {
        snprintf(list[0].name, sizeof list[0].name, "%s", extra_name);
        count = 1;
    }
    for (unsigned i = 0; i < r->name_count; i++)
        list_for_name(r->unit, r->names[i], list, &count);
    for (int i = 0; i < DIRECTORIES; i++) {
        char directory[PATH_MAX];
        snprintf(directory, sizeof directory, "%s/service.d", directories[i]);
        list_directory(r->unit, directory, list, &count);
    }
    qsort(list, count, sizeof *list, by_name);
    for (size_t i = 0; i < count; i++) {
        if (*list[i].path) {
            parse_file(r, list[i].path);
            continue;
        }
        char *text = strdup(extra);
        if (text)
            parse(r, text, extra_name);
        free(text);
    }
    free(list);
}

static void read_environment_file(struct reading *r, const char *pattern)
{
    struct tool_unit *u = r->unit;
    glob_t found;
    char full[PATH_MAX];
    bool optional = *pattern == '-', any = false;
    pattern += optional;
    if (!join(full, u->root, pattern, "") || glob(full, 0, NULL, &found) != 0)
        found.gl_pathc = 0, found.gl_pathv = NULL;
    for (size_t i = 0; i < found.gl_pathc; i++)
        any |= tool_env_read_file(&u->env, found.gl_pathv[i], found.gl_pathv[i] + strlen(u->root));
    if (found.gl_pathv)
        globfree(&found);
    if (!any && !optional && !u->missing_file)
        u->missing_file = strdup(pattern);
}

static void read_cluster(struct tool_unit *u)
{
    char full[PATH_MAX], shown[300];
    char *instance = instance_of(u->name, true);
    if (strncmp(u->name, "postgresql@", 11) == 0 && strchr(instance, '/') && !strstr(instance, "..")) {
        snprintf(u->cluster, sizeof u->cluster, "/etc/postgresql/%.200s", instance);
        snprintf(shown, sizeof shown, "%s/environment", u->cluster);
        tool_env_free(&u->env);
        char *text = join(full, u->root, shown, "") ? tool_slurp(full, NULL) : NULL;
        if (text)
            tool_env_take_postgresql(&u->env, text, shown);
        free(text);
    }
    free(instance);
}

static void merge_environment(struct reading *r)
{
    struct tool_unit *u = r->unit;
    u->env = r->environment;
    r->environment = (struct tool_env){0};
    for (size_t i = 0; i < r->file_count; i++)
        read_environment_file(r, r->files[i]);
    for (size_t i = 0; i < r->unset_count; i++)
        tool_env_unset(&u->env, r->unset[i]);
    empty(&r->files, &r->file_count);
    empty(&r->unset, &r->unset_count);
    read_cluster(u);
}

bool tool_unit_read(struct tool_unit *u, const char *root, const char *name, const char *extra_name, const char *extra,
                    char error[512])
{
    struct reading r = {.unit = u};
    *u = (struct tool_unit){.root = root};
    snprintf(u->name, sizeof u->name, "%s", name);
    if (!resolve(&r, error))
        return false;
    add_aliases(&r);
    if (!u->masked)
        parse_all(&r, extra_name, extra);
    merge_environment(&r);
    return true;
}

void tool_unit_free(struct tool_unit *u)
{
    tool_env_free(&u->env);
    free(u->exec_start);
    free(u->missing_file);
    *u = (struct tool_unit){0};
}
