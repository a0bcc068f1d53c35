/* SPDX-License-Identifier: MIT
 *
 * trust_parts.h: the inside of trust.c, for its unit tests alone.
 */
#ifndef PPSHIM_TRUST_PARTS_H
#define PPSHIM_TRUST_PARTS_H

#include <ppshim/config.h>
#include <stdbool.h>
#include <stddef.h>

/* pps_trust_refresh without the second between two looks; files written to within the last `settle_ms` are left alone.
 */
bool pps_trust_look(unsigned settle_ms, char news[PPS_ERROR_TEXT], bool *failed);

/* How many replaced lists wait for their last reader. */
size_t pps_trust_retired(void);

/* Back to before pps_trust_load. No other thread may be in this module. */
void pps_trust_forget(void);

#endif
