/* SPDX-License-Identifier: MIT
 *
 * refuse.c: see refuse.h.
 */
#include "refuse.h"
#include "forbid.h"
#include <ppshim/config.h>
#include <ppshim/log.h>
#include <stdio.h>
#include <unistd.h>

void pps_go_refuse(const char *why)
{
    struct pps_line l;
    char error[PPS_ERROR_TEXT];
    if (!pps_go_forbid_serving()) {
        snprintf(error, sizeof error, "this Go program cannot be served: %s", why);
        pps_log_last_words(error);
        _exit(PPS_EXIT_CONFIG);
    }
    pps_line_begin(&l, "error: this Go program cannot be served, and so may not listen: ");
    pps_line_text(&l, why);
    pps_line_exe(&l, "exe");
    pps_log(PPS_LOG_ERROR, &l);
}
