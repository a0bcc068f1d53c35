/* SPDX-License-Identifier: MIT
 *
 * unit_file.h: a systemd service as its files say, drop-ins and all: what its next start will get.
 *
 * Reads the files themselves, not what a running systemd has loaded: they may be newer, and may lie in a tree that is
 * not running. Understands what `ppshim check` and `ppshim unit` need and no more.
 */
#ifndef PPSHIM_UNIT_FILE_H
#define PPSHIM_UNIT_FILE_H

#include "unit_env.h"
#include <limits.h>
#include <stdbool.h>

struct tool_unit {
    const char *root;    /* "" or a directory, before every path that is opened */
    char name[256];      /* mariadb.service, with aliases resolved */
    char path[PATH_MAX]; /* of the unit file, without the root; "" if there is none */
    bool masked;
    char *exec_start;    /* of the last ExecStart= that is not reset; NULL */
    char user[64];       /* "" for root */
    bool more_groups;    /* Group=, SupplementaryGroups=: it has others than its user */
    struct tool_env env; /* Environment=, then the files, less UnsetEnvironment= */
    char *last_file;     /* the EnvironmentFile= that is read last, and so wins; NULL */
    char *missing_file;  /* an EnvironmentFile= that must be there and is not; NULL */
    bool on_socket;      /* StandardInput=socket: a connection, where it is started for each */
    bool protects_home, private_tmp, own_root;
    bool prevents_restart;         /* a wrong setting does not restart it: it says so, or it is never restarted */
    bool oneshot;                  /* it has no main process once it is started */
    bool root_image;               /* RootImage=: its files are in there */
    char root_directory[PATH_MAX]; /* RootDirectory=; "" */
    struct tool_paths {
        char **list;
        size_t count;
    } no_exec, exec, hidden,
        bound; /* NoExecPaths=, ExecPaths=; InaccessiblePaths= and TemporaryFileSystem=; Bind...= */
    struct tool_paths calls, families; /* SystemCallFilter=, RestrictAddressFamilies=: in order, "~" before each that is
                                          taken back */
    char cluster[256];                 /* "/etc/postgresql/15/main" for postgresql@15-main.service; else "" */
};

/* `extra`: the text of a drop-in of that name that is to be, in place of one that is there; or NULL: as it is. ""
   leaves out what is there. `error` is one line; name and cluster are good even then. After true, tool_unit_free. */
bool tool_unit_read(struct tool_unit *u, const char *root, const char *name, const char *extra_name, const char *extra,
                    char error[512]);
void tool_unit_free(struct tool_unit *u);

/* Who it is started as; "": root. */
const char *tool_unit_user(const struct tool_unit *u);

#endif
