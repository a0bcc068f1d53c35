/* SPDX-License-Identifier: MIT
 *
 * state.c: see state.h. And of preload/process.h what a Go program needs: it never forks but to execute another.
 */
#include "state.h"
#include "../preload/process.h"
#include <ppshim/log.h>
#include <unistd.h>

struct pps_config pps_go_config;
struct pps_status pps_go_status = {
    .size = sizeof pps_go_status, .config = &pps_go_config, .config_size = sizeof pps_go_config};
pid_t pps_go_owner;

_Noreturn void pps_go_stop(const char *error)
{
    pps_log_last_words(error);
    _exit(PPS_EXIT_CONFIG);
}

bool pps_process_is_owner(void)
{
    return getpid() == pps_go_owner;
}
