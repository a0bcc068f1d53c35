/* SPDX-License-Identifier: MIT
 *
 * unit_env.h: the variables a unit gives its process, each with the place it comes from.
 */
#ifndef PPSHIM_UNIT_ENV_H
#define PPSHIM_UNIT_ENV_H

#include <stdbool.h>
#include <stddef.h>

struct tool_env {
    struct tool_variable {
        char *text;  /* NAME=VALUE */
        char *where; /* "/etc/default/ssh:3" */
    } * variables;
    size_t count;
    struct tool_ignored { /* what has no effect, where a setting of ours or LD_PRELOAD is meant */
        char *where, *text;
    } * ignored;
    size_t ignored_count;
    struct tool_variable lost; /* an LD_PRELOAD that named us and is no longer in force; text NULL: none */
};

/* A later one of a name replaces the earlier. Takes copies. */
void tool_env_set(struct tool_env *env, const char *text, const char *file, unsigned line);
/* The same, unless systemd would not take it: false. */
bool tool_env_take(struct tool_env *env, const char *text, const char *file, unsigned line);
/* Remembers `text` as ignored if the `whole` it is part of names something of ours. */
void tool_env_ignore(struct tool_env *env, const char *text, const char *whole, const char *file, unsigned line);
void tool_env_unset(struct tool_env *env, const char *name_or_text);
void tool_env_clear(struct tool_env *env);
void tool_env_free(struct tool_env *env);

/* By a name, or by the name of a NAME=VALUE. NULL: not there. */
const struct tool_variable *tool_env_find(const struct tool_env *env, const char *name);
const char *tool_env_value(const struct tool_env *env, const char *name);

/* The variables as environ holds them; free the vector alone. */
char **tool_env_vector(const struct tool_env *env);

/* Reads a file as systemd's EnvironmentFile= does. Places are told with the path `shown`. false: it cannot be read
   (errno says why). */
bool tool_env_read_file(struct tool_env *env, const char *path, const char *shown);
/* The text of a PostgreSQL cluster's file `environment`, as pg_ctlcluster reads it. */
void tool_env_take_postgresql(struct tool_env *env, const char *text, const char *shown);

/* The whole of a regular file, NUL behind it; NULL and errno. The caller frees it. */
char *tool_slurp(const char *path, size_t *size);

/* One word of systemd's quoting from *at, as Environment= and ExecStart= are written: NULL at the end; `*good` false
   where a quote is not closed or an escape is none. The caller frees it. */
char *tool_next_word(const char **at, bool *good);

#endif
