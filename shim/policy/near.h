/* SPDX-License-Identifier: MIT
 *
 * near.h: which known word somebody meant who wrote another one.
 *
 * Pure: any thread, any signal handler.
 */
#ifndef PPSHIM_NEAR_H
#define PPSHIM_NEAR_H

#include "text.h"

/* How many bytes to insert, drop or change to make `b` of `a`; case does not count. Only the first 63 of `a` matter. */
unsigned pps_near_distance(struct pps_text a, const char *b);

#endif
