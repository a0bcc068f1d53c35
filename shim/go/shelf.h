/* SPDX-License-Identifier: MIT
 *
 * shelf.h: where the journal's socket is kept in a Go program, whose runtime closes no number that it does not know,
 * and sizes nothing by numbers.
 */
#ifndef PPSHIM_GO_SHELF_H
#define PPSHIM_GO_SHELF_H

#include <ppshim/journal.h>

extern const struct pps_journal_shelf pps_go_shelf;

#endif
