/* SPDX-License-Identifier: MIT
 *
 * refuse.c: see refuse.h.
 */
#include "refuse.h"
#include "forbid.h"
#include "watch.h"
#include <ppshim/config.h>
#include <ppshim/log.h>
#include <unistd.h>

static const char *reason;

static void begin_line(struct pps_line *l, const char *what)
{
    pps_line_begin(l, "error: this Go program cannot be served, and so ");
    pps_line_text(l, what);
    pps_line_text(l, ": ");
    pps_line_text(l, reason);
}

static void stop(const struct pps_probe *governed)
{
    struct pps_line l;
    begin_line(&l, "may not listen");
    if (governed && governed->is_unix)
        pps_line_listener(&l, "listen", &governed->name);
    else if (governed)
        pps_line_addr(&l, "listen", &governed->local);
    pps_line_exe(&l, "exe");
    pps_log_last(&l);
    _exit(PPS_EXIT_CONFIG);
}

static void tell(const char *what)
{
    struct pps_line l;
    begin_line(&l, what);
    pps_line_exe(&l, "exe");
    pps_log(PPS_LOG_ERROR, &l);
}

static void tell_of_children(void)
{
    static bool told;
    if (!told)
        tell("what it starts may not listen");
    told = true;
}

void pps_go_refuse(const char *why)
{
    reason = why;
    if (pps_go_watch(&(struct pps_go_watcher){stop, tell_of_children}))
        return;
    if (!pps_go_forbid_serving())
        stop(NULL);
    tell("may not listen");
}
