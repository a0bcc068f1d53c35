/* SPDX-License-Identifier: MIT
 *
 * check_holders.h: who holds the listeners of a process or a service, and whether each of those that accept takes
 * headers.
 */
#ifndef PPSHIM_CHECK_HOLDERS_H
#define PPSHIM_CHECK_HOLDERS_H

#include "check_report.h"
#include "image.h"
#include "processes.h"
#include <ppshim/config.h>

/* What is held against each of them. */
struct tool_expected {
    const struct tool_image *main;   /* of the process that was asked for */
    const struct tool_env *env;      /* the settings that shall be in force; NULL: unknown */
    const struct pps_config *config; /* the same, read; NULL: unknown, wrong, or off */
    const uint32_t *sum;             /* their checksum; NULL: unknown */
    bool unseen;                     /* the library is on, and nobody can say for which ports: all are looked at */
};

struct tool_listeners {
    unsigned all, governed;
};

/* Whether the settings govern what is listened to there; a Unix listener by its name in a list. */
bool tool_socket_is_governed(const struct pps_config *c, const struct tool_socket *s);

/* Notes each listener of the processes that belong to `all`'s mark, and judges all that hold a governed one. Of main it
   judges nothing but whether it alone holds them and does not accept. */
struct tool_listeners tool_check_holders(struct tool_report *r, const struct tool_processes *all,
                                         const struct tool_sockets *sockets, const struct tool_expected *expected);

/* Why the library is not in a process, as one clause. The caller frees it. */
char *tool_absence_of(const struct tool_image *i);

/* Of a server that hands its children less than its own environment: which line of which of its files gives them what
   they need. `program`: its path; `env`: what it is given itself. */
void tool_note_handing_on(struct tool_report *r, const char *program, const struct tool_env *env);

#endif
