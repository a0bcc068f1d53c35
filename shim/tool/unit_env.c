/* SPDX-License-Identifier: MIT
 *
 * unit_env.c: environment variables as systemd and PostgreSQL's start script read them from files (unit_env.h).
 *
 * Both skip what they do not understand, or nearly: a line `export PPSHIM_TRUST=...` leaves the shim off. Such lines
 * are kept in `ignored`, so that the operator hears of them.
 */
#include "unit_env.h"
#include "tool.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (4 << 20)

/* --- the list --- */

static size_t name_length(const char *text)
{
    return strcspn(text, "=");
}

static struct tool_variable *find(const struct tool_env *env, const char *name, size_t length)
{
    for (size_t i = 0; i < env->count; i++)
        if (name_length(env->variables[i].text) == length && memcmp(env->variables[i].text, name, length) == 0)
            return &env->variables[i];
    return NULL;
}

static char *place(const char *file, unsigned line)
{
    return line ? tool_text("%s:%u", file, line) : tool_text("%s", file);
}

static bool preloads_us(const char *text)
{
    return strncmp(text, "LD_PRELOAD=", 11) == 0 && strstr(text, "libppshim");
}

/* Takes the variable's texts. */
static void let_go(struct tool_env *env, struct tool_variable *v)
{
    struct tool_variable unused = *v;
    if (preloads_us(v->text)) {
        unused = env->lost;
        env->lost = *v;
    }
    free(unused.text);
    free(unused.where);
}

static void find_again(struct tool_env *env)
{
    free(env->lost.text);
    free(env->lost.where);
    env->lost = (struct tool_variable){0};
}

void tool_env_set(struct tool_env *env, const char *text, const char *file, unsigned line)
{
    struct tool_variable *v = find(env, text, name_length(text));
    if (v) {
        let_go(env, v);
    } else {
        env->variables = tool_or_abort(realloc(env->variables, (env->count + 1) * sizeof *env->variables));
        v = &env->variables[env->count++];
    }
    *v = (struct tool_variable){tool_or_abort(strdup(text)), place(file, line)};
    if (preloads_us(text))
        find_again(env);
}

void tool_env_unset(struct tool_env *env, const char *name_or_text)
{
    struct tool_variable *v = find(env, name_or_text, name_length(name_or_text));
    if (!v || (strchr(name_or_text, '=') && strcmp(v->text, name_or_text) != 0))
        return;
    let_go(env, v);
    *v = env->variables[--env->count];
}

void tool_env_clear(struct tool_env *env)
{
    while (env->count)
        tool_env_unset(env, env->variables[0].text);
}

void tool_env_free(struct tool_env *env)
{
    tool_env_clear(env);
    for (size_t i = 0; i < env->ignored_count; i++) {
        free(env->ignored[i].where);
        free(env->ignored[i].text);
    }
    find_again(env);
    free(env->ignored);
    free(env->variables);
    *env = (struct tool_env){0};
}

const struct tool_variable *tool_env_find(const struct tool_env *env, const char *name)
{
    return find(env, name, name_length(name));
}

const char *tool_env_value(const struct tool_env *env, const char *name)
{
    const struct tool_variable *v = tool_env_find(env, name);
    return v ? v->text + name_length(v->text) + 1 : NULL;
}

char **tool_env_vector(const struct tool_env *env)
{
    char **vector = tool_or_abort(calloc(env->count + 1, sizeof *vector));
    for (size_t i = 0; i < env->count; i++)
        vector[i] = env->variables[i].text;
    return vector;
}

/* A name that systemd passes on. */
static bool is_assignment(const char *text)
{
    size_t length = name_length(text);
    for (size_t i = 0; i < length; i++)
        if (!(isalnum((unsigned char)text[i]) || text[i] == '_') || (!i && isdigit((unsigned char)*text)))
            return false;
    return length && text[length] == '=';
}

bool tool_env_take(struct tool_env *env, const char *text, const char *file, unsigned line)
{
    if (!is_assignment(text))
        return false;
    tool_env_set(env, text, file, line);
    return true;
}

void tool_env_ignore(struct tool_env *env, const char *text, const char *whole, const char *file, unsigned line)
{
    if (!strstr(whole, "PPSHIM_") && !strstr(whole, "LD_PRELOAD"))
        return;
    env->ignored = tool_or_abort(realloc(env->ignored, (env->ignored_count + 1) * sizeof *env->ignored));
    env->ignored[env->ignored_count++] = (struct tool_ignored){place(file, line), tool_or_abort(strdup(text))};
}

/* --- files --- */

char *tool_slurp(const char *path, size_t *size)
{
    struct stat st;
    char *text = NULL;
    size_t have = 0;
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && (S_ISDIR(st.st_mode) || st.st_size > FILE_MAX))
        errno = S_ISDIR(st.st_mode) ? EISDIR : EFBIG;
    else
        do {
            text = tool_or_abort(realloc(text, have + 4097));
            n = read(fd, text + have, 4096);
            have += n > 0 ? (size_t)n : 0;
        } while (n > 0 && have <= FILE_MAX);
    int saved = errno;
    close(fd);
    if (n != 0) {
        free(text);
        errno = n > 0 ? EFBIG : saved;
        return NULL;
    }
    text[have] = 0;
    if (size)
        *size = have;
    return text;
}

/* --- systemd's EnvironmentFile= --- */

struct scan {
    const char *at;
    unsigned line;
    char *value;         /* as long as the file, at most */
    size_t length, keep; /* trailing white space of a value counts only up to `keep` */
};

static char next(struct scan *s)
{
    s->line += *s->at == '\n';
    return *s->at++;
}

static void put(struct scan *s, char c, bool keep)
{
    s->value[s->length++] = c;
    if (keep)
        s->keep = s->length;
}

static bool is_newline(char c)
{
    return c == '\n' || c == '\r';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || is_newline(c);
}

static void scan_quoted(struct scan *s, char quote)
{
    while (*s->at && *s->at != quote) {
        char c = next(s);
        if (quote == '"' && c == '\\' && *s->at) {
            char escaped = next(s);
            if (escaped == '\n')
                continue;
            if (!strchr("\"\\`$", escaped))
                put(s, '\\', true);
            c = escaped;
        }
        put(s, c, true);
    }
    if (*s->at)
        s->at++;
}

/* What stands behind the '=' up to the end of its line; a quote counts where a value, or what follows a quoted part,
   begins. */
static void scan_value(struct scan *s)
{
    bool begins = true;
    s->length = s->keep = 0;
    while (*s->at && !is_newline(*s->at)) {
        char c = next(s);
        if (begins && (c == '\'' || c == '"')) {
            scan_quoted(s, c);
        } else if (c == '\\') {
            char escaped = *s->at ? next(s) : 0;
            begins = false;
            if (escaped && !is_newline(escaped))
                put(s, escaped, true);
        } else if (!begins || !is_blank(c)) {
            begins = false;
            put(s, c, !is_blank(c));
        }
    }
    s->value[s->keep] = 0;
}

static void skip_comment(struct scan *s)
{
    while (*s->at && !is_newline(*s->at))
        if (next(s) == '\\' && *s->at)
            next(s);
}

static void scan_assignment(struct scan *s, struct tool_env *env, const char *shown)
{
    unsigned line = s->line;
    const char *key = s->at;
    size_t length = strcspn(key, "=\r\n");
    s->at += length;
    if (*s->at != '=') {
        char *copy = tool_or_abort(strndup(key, length));
        tool_env_ignore(env, copy, copy, shown, line);
        free(copy);
        return;
    }
    s->at++;
    scan_value(s);
    while (length && is_blank(key[length - 1]))
        length--;
    char *text = tool_text("%.*s=%s", (int)length, key, s->value);
    if (!tool_env_take(env, text, shown, line))
        tool_env_ignore(env, text, text, shown, line);
    free(text);
}

bool tool_env_read_file(struct tool_env *env, const char *path, const char *shown)
{
    size_t size;
    char *text = tool_slurp(path, &size);
    if (!text)
        return false;
    struct scan s = {.at = text, .line = 1, .value = tool_or_abort(malloc(size + 1))};
    while (*s.at) {
        if (is_blank(*s.at))
            next(&s);
        else if (*s.at == '#' || *s.at == ';')
            skip_comment(&s);
        else
            scan_assignment(&s, env, shown);
    }
    free(s.value);
    free(text);
    return true;
}

/* --- PostgreSQL's `environment`: as postgresql.conf, NAME = 'value' --- */

/* Into `out`, at least as long; the byte behind the value, NULL if it is none. */
static const char *postgresql_value(const char *at, char *out)
{
    if (*at != '\'') {
        if (!isalnum((unsigned char)at[*at == '-']))
            return NULL;
        while (isalnum((unsigned char)*at) || (*at && strchr("._:/+-", *at)))
            *out++ = *at++;
        *out = 0;
        return at;
    }
    for (at++; *at && *at != '\n'; at++) {
        if (at[1] && ((*at == '\\' && at[1] != '\n') || (*at == '\'' && at[1] == '\'')))
            at++;
        else if (*at == '\'')
            return *out = 0, at + 1;
        *out++ = *at;
    }
    return NULL;
}

static void postgresql_line(struct tool_env *env, char *line, const char *shown, unsigned number)
{
    static const char blank[] = " \t\r\v\f";
    char *name = line + strspn(line, blank), *text = tool_or_abort(malloc(2 * strlen(line) + 2));
    size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
    const char *at = name + length;
    at += strspn(at, blank);
    at += *at == '=';
    at += strspn(at, blank);
    memcpy(text, name, length);
    text[length] = '=';
    const char *end = length && at > name + length ? postgresql_value(at, text + length + 1) : NULL;
    if (end && end[strspn(end, blank)] && end[strspn(end, blank)] != '#')
        end = NULL;
    if (end)
        tool_env_set(env, text, shown, number);
    else if (*name && *name != '#')
        tool_env_ignore(env, name, name, shown, number);
    free(text);
}

void tool_env_take_postgresql(struct tool_env *env, const char *text, const char *shown)
{
    unsigned number = 0;
    char *copy = tool_or_abort(strdup(text)), *rest = copy, *line;
    while ((line = strsep(&rest, "\n")))
        postgresql_line(env, line, shown, ++number);
    free(copy);
}

/* --- words of unit files --- */

static bool is_octal(const char *at)
{
    for (int i = 0; i < 3; i++)
        if (at[i] < '0' || at[i] > '7')
            return false;
    return *at < '4';
}

static char unescape(const char **at, bool *good)
{
    static const char names[] = "abfnrtvs\\\"'", bytes[] = "\a\b\f\n\r\t\v \\\"'";
    const char *known = **at ? strchr(names, **at) : NULL;
    unsigned byte = 0;
    if (known)
        return (*at)++, bytes[known - names];
    bool hex = **at == 'x' && isxdigit((unsigned char)(*at)[1]) && isxdigit((unsigned char)(*at)[2]);
    if (hex)
        sscanf(*at + 1, "%2x", &byte);
    else if (is_octal(*at))
        sscanf(*at, "%3o", &byte);
    *good = *good && byte;
    *at += byte ? 3 : 0;
    return (char)byte;
}

char *tool_next_word(const char **at, bool *good)
{
    char quote = 0, *word, *out;
    *at += strspn(*at, " \t\n\r");
    if (!**at)
        return NULL;
    word = out = tool_or_abort(malloc(strlen(*at) + 1));
    while (**at && (quote || !strchr(" \t\n\r", **at))) {
        char c = *(*at)++;
        if (c == '\\')
            *out++ = unescape(at, good);
        else if (quote ? c == quote : c == '"' || c == '\'')
            quote = quote ? 0 : c;
        else
            *out++ = c;
    }
    *out = 0;
    if (quote)
        *good = false;
    return word;
}
