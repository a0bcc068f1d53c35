/* SPDX-License-Identifier: MIT
 *
 * watch.h: a preloaded Go program that cannot be served does what it is for, and ends before it would serve without the
 * shim.
 *
 * The kernel asks a thread of ours about each listen and accept (forbid.h). That thread looks at the socket: a governed
 * one ends the process, any other is none of ours, and the kernel goes on. It sleeps without a lock, with all signals
 * blocked. It knows the socket by its number: a program that gives the number to another socket in that very moment is
 * asked about again when it accepts.
 *
 * What the program forks and starts is asked about by the same thread, which does not know their descriptors, and
 * refuses; once it has ended, or executed another in its place, nobody answers (ENOSYS). Nor does anybody once it has
 * closed the descriptor by which we are asked, which it does not know.
 *
 * Linked to libc, as the preload is.
 */
#ifndef PPSHIM_GO_WATCH_H
#define PPSHIM_GO_WATCH_H

#include <ppshim/listener_probe.h>
#include <stdbool.h>

struct pps_go_watcher {                             /* both are called by that thread */
    void (*stop)(const struct pps_probe *governed); /* ends the process */
    void (*refused_child)(void);                    /* what the program started asked: that fails with EPERM */
};

/* Once, before the program's first instruction; the settings are in force. false: the kernel does not ask (before Linux
   5.5, or somebody is asked already, or something forbids it), or there is no thread. */
bool pps_go_watch(const struct pps_go_watcher *watcher);

#endif
