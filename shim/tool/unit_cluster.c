/* SPDX-License-Identifier: MIT
 *
 * unit_cluster.c: PostgreSQL clusters of Debian's (unit.h). pg_ctlcluster empties the environment and fills it from the
 * cluster's file `environment`, so a drop-in would reach nobody.
 *
 * Our lines stand in a block at the end of that file. What it was before is the file without the block, byte for byte:
 * the block's first line says what had to be added around it.
 */
#include "tool.h"
#include "unit.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BEGIN "# ppshim begin"
#define END "# ppshim end\n"
#define NEW_FILE " (there was no file)"
#define OPEN_LINE " (the line before had no end)"

/* As postgresql.conf has it; false: a byte that cannot be written there. */
static bool put_value(FILE *to, const char *name_and_value)
{
    const char *value = strchr(name_and_value, '=') + 1;
    fprintf(to, "%.*s = '", (int)(value - 1 - name_and_value), name_and_value);
    for (; *value; value++) {
        if (*value == '\n' || *value == '\r')
            return false;
        fprintf(to, "%s%c", *value == '\\' ? "\\" : *value == '\'' ? "'" : "", *value);
    }
    fputs("'\n", to);
    return true;
}

/* The file as it is and, in the same memory, as it was without a block of ours. */
struct content {
    char *text; /* NULL: there is no file, or there was none before the block */
    bool had_block;
};

/* The block, if it is whole and begins a line; NULL. */
static char *find_block(char *text, char **end)
{
    char *at = text;
    while (at && strncmp(at, BEGIN, strlen(BEGIN)) != 0) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    *end = at ? strstr(at, "\n" END) : NULL;
    *end = *end ? *end + 1 + strlen(END) : NULL;
    return *end ? at : NULL;
}

static void cut_block(struct content *c)
{
    char *end, *block = find_block(c->text, &end);
    if (!block)
        return;
    size_t head = strcspn(block, "\n");
    bool made = memmem(block, head, NEW_FILE, strlen(NEW_FILE)),
         opened = memmem(block, head, OPEN_LINE, strlen(OPEN_LINE));
    c->had_block = true;
    block -= opened && block > c->text && !*end; /* a line that came to stand below needs the end of ours */
    memmove(block, end, strlen(end) + 1);
    if (made && !*c->text) {
        free(c->text);
        c->text = NULL;
    }
}

static int read_content(const struct tool_unit *u, const char *path, struct content *out)
{
    char full[PATH_MAX];
    struct stat st;
    *out = (struct content){0};
    snprintf(full, sizeof full, "%s%s", u->root, path);
    if (lstat(full, &st) == 0 && !S_ISREG(st.st_mode))
        return tool_fail(TOOL_NO, "unit", "%s is not a regular file", full);
    out->text = tool_slurp(full, NULL);
    if (!out->text && errno != ENOENT)
        return tool_fail(TOOL_NO, "unit", "%s: %s", full, strerror(errno));
    if (out->text)
        cut_block(out);
    return TOOL_OK;
}

int unit_cluster_text(const struct tool_unit *u, const struct tool_env *wanted, char **path, char **text)
{
    struct content before;
    size_t size;
    bool good = true;
    *path = tool_text("%s/environment", u->cluster);
    int status = read_content(u, *path, &before);
    FILE *to = status == TOOL_OK ? open_memstream(text, &size) : NULL;
    if (!to)
        return status == TOOL_OK ? TOOL_NO : status;
    size_t length = before.text ? strlen(before.text) : 0;
    bool is_open = length && before.text[length - 1] != '\n';
    fprintf(to, "%s%s" BEGIN "%s: ppshim unit %s --remove takes it away\n", before.text ? before.text : "",
            is_open ? "\n" : "",
            !before.text ? NEW_FILE
            : is_open    ? OPEN_LINE
                         : "",
            u->name);
    for (size_t i = 0; i < wanted->count; i++)
        good = good && put_value(to, wanted->variables[i].text);
    fputs(END, to);
    fclose(to);
    free(before.text);
    return good ? TOOL_OK : tool_fail(TOOL_USAGE, "unit", "a value with a line break: write it on one line");
}

int unit_cluster_remove(const struct tool_unit *u, char **path, bool *changed)
{
    struct content before;
    char full[PATH_MAX];
    *path = tool_text("%s/environment", u->cluster);
    int status = read_content(u, *path, &before);
    *changed = false;
    snprintf(full, sizeof full, "%s%s", u->root, *path);
    if (status == TOOL_OK && before.had_block && before.text)
        status = unit_write(u->root, *path, before.text, true, changed);
    else if (status == TOOL_OK && before.had_block) {
        *changed = unlink(full) == 0;
        status = *changed ? TOOL_OK : tool_fail(TOOL_NO, "unit", "%s: %s", full, strerror(errno));
    }
    free(before.text);
    return status;
}

void unit_cluster_read(struct tool_unit *then, const struct tool_unit *u, const char *text)
{
    char shown[300];
    *then = (struct tool_unit){.root = u->root};
    snprintf(then->name, sizeof then->name, "%s", u->name);
    snprintf(then->path, sizeof then->path, "%s", u->path);
    snprintf(then->cluster, sizeof then->cluster, "%s", u->cluster);
    snprintf(shown, sizeof shown, "%s/environment", u->cluster);
    tool_env_take_postgresql(&then->env, text, shown);
}
