/* SPDX-License-Identifier: MIT
 *
 * state.c: see state.h.
 */
#include "state.h"
#include <ppshim/log.h>
#include <unistd.h>

atomic_bool pps_on;
struct pps_config pps_config;
__attribute__((visibility("default"))) struct pps_status ppshim_status = {
    .size = sizeof ppshim_status, .config = &pps_config, .config_size = sizeof pps_config};

_Noreturn void pps_stop_misconfigured(const char *error)
{
    pps_log_last_words(error);
    _exit(PPS_EXIT_CONFIG);
}
