/* SPDX-License-Identifier: MIT
 *
 * elsewhere.c: in place of start.c where there is no gate, on other processors than amd64. Linked to libc, as the
 * preload is, whose constructor comes first.
 */
#include "../preload/state.h"
#include "start.h"

const char *pps_go_start(const struct pps_go_given *given)
{
    bool wanted = atomic_load(&pps_on) && pps_go_is(given->program);
    return wanted ? "it is for another processor than amd64, the only one where Go programs are served" : NULL;
}
