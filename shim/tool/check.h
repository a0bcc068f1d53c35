/* SPDX-License-Identifier: MIT
 *
 * check.h: what `ppshim check` looks at, and `ppshim unit` before it writes. One thread; malloc freely.
 */
#ifndef PPSHIM_CHECK_H
#define PPSHIM_CHECK_H

#include "check_report.h"
#include "go_program.h"
#include "library.h"
#include "processes.h"
#include "unit_env.h"
#include "unit_file.h"
#include <ppshim/config.h>
#include <stdbool.h>
#include <sys/types.h>

/* Whether a program could be served by the preload; judges, without an OK. `library` may be NULL. `accepts`: it takes
   connections itself; false: each is given to it. */
void tool_check_program(struct tool_report *r, const char *path, const char *library, bool accepts);

/* Whether a running process is served. `unit`: its environment, where the process has overwritten its own; or NULL. */
void tool_check_process(struct tool_report *r, pid_t pid, const struct tool_env *unit);
/* The same, for who asks of many: all processes as they were read, marked anew. */
void tool_check_process_among(struct tool_report *r, pid_t pid, const struct tool_env *unit,
                              struct tool_processes *all);

/* Warns of each governed listener of the marked processes that nobody in the lists can connect to. */
void tool_warn_unreachable(struct tool_report *r, const struct tool_processes *all, const struct tool_sockets *sockets,
                           const struct pps_config *config);
/* The same of a process that runs, for settings that it may not have yet. */
void tool_warn_unreachable_of(struct tool_report *r, pid_t pid, const struct tool_env *env);

/* Whether a process has loaded the library and it is on; one that is just being started is waited for, ten seconds at
   most. 0: the first process of the service that we run in ourselves. */
void tool_check_loaded(struct tool_report *r, pid_t pid);

/* Connects to what a service, a process or "HOST:PORT" of this host listens to and governs: with a header, without one,
   and from an address in no list; judges what became of each. May enter the server's network. false: there is no such
   service or process, and `error` is one line. */
bool tool_check_probe(struct tool_report *r, const char *what, char error[512]);

/* Whether the library would accept these variables, and each line that was meant to set one does; the list files are
   read as `user` ("" or NULL: as we are), below `root`. Judges TOOL_VERDICT_CONFIG with the place the wrong one comes
   from. */
void tool_check_settings(struct tool_report *r, const struct tool_env *env, const char *root, const char *user);

/* Whether a unit's LD_PRELOAD names the library, where the unit can load it; `library`: the installed one, or NULL.
   Returns its path, without the root; NULL: it is not to be had. The caller frees it. */
char *tool_check_preload(struct tool_report *r, const struct tool_unit *unit, const char *library);

/* What a unit would give its process, and whether that is good. */
void tool_check_unit(struct tool_report *r, const struct tool_unit *unit, const char *library);
/* What it forbids and the shim needs: in general, for its settings, and for a program that is `go`, or is not. */
void tool_check_filters(struct tool_report *r, const struct tool_unit *unit, const struct tool_go *go);
/* What in a unit's sandbox hides a path or forbids to execute it, as a clause; NULL: nothing. Static. */
const char *tool_unit_hides(const struct tool_unit *unit, const char *path);

/* Whether its next start will be served, whatever runs now. */
void tool_check_next_start(struct tool_report *r, const struct tool_unit *unit, const char *library);
/* The same of its files alone, whatever may run now; `without_program`: what it would start is not looked at. */
void tool_check_unit_files(struct tool_report *r, const struct tool_unit *unit, const char *library,
                           bool without_program);

/* A judgement of each service that is given the library, or a setting of ours; of each process that listens, has one of
   them and is of no such service. */
typedef void tool_tell(struct tool_report *r, void *with);
void tool_tell_units(const char *root, const char *library, tool_tell *tell, void *with);
void tool_tell_processes(tool_tell *tell, void *with);

/* Prints the first line of each; the gravest exit status. */
int tool_list_governed(const char *root, const char *library, bool json, bool processes);

/* What ExecStart= starts is a static Go program that can be served, and not started by `ppshim run`: that can be put in
   front of it, or belongs into a shell's text, or behind another argv[0]. */
enum tool_lacks { TOOL_LACKS_NOTHING, TOOL_LACKS_RUN, TOOL_LACKS_RUN_INSIDE };
enum tool_lacks tool_unit_lacks_run(const struct tool_unit *unit);

/* The program a unit's ExecStart= really starts, as far as that can be told: behind `sh -c "... exec /path"`, and
   PostgreSQL's behind pg_ctlcluster. NULL: none. The caller frees it. */
char *tool_unit_program(const struct tool_unit *unit);

#endif
