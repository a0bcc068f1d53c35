/* SPDX-License-Identifier: MIT
 *
 * refuse.h: a Go program that wants the shim cannot be served: it is told in one line, and may not listen (forbid.h).
 * Once, at its start; the log has been started. With a libc or without.
 */
#ifndef PPSHIM_GO_REFUSE_H
#define PPSHIM_GO_REFUSE_H

/* Why: half a sentence. Ends the process, status 78, where that cannot be kept from listening. */
void pps_go_refuse(const char *why);

#endif
