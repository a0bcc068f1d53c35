/* SPDX-License-Identifier: MIT
 *
 * refuse.h: a preloaded Go program that wants the shim cannot be served. It shall do what else it is for, and not serve
 * without the shim: its first governed listen ends it (watch.h). Where the kernel cannot ask us, it is told at its
 * start, and may not listen at all (forbid.h).
 *
 * Linked to libc, as the preload is.
 */
#ifndef PPSHIM_GO_REFUSE_H
#define PPSHIM_GO_REFUSE_H

/* Once, before the program's first instruction; the settings are in force and the log has been started. Why, for ever:
   half a sentence. Ends the process, status 78, where it cannot be kept from listening. */
void pps_go_refuse(const char *why);

#endif
