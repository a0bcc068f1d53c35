/* SPDX-License-Identifier: MIT
 *
 * govern.h: whether a listener is ours to govern, and what happens when a process first governs one.
 *
 * Reads files and writes lines: never with the lock held.
 */
#ifndef PPSHIM_GOVERN_H
#define PPSHIM_GOVERN_H

#include <ppshim/config.h>
#include <ppshim/listener_probe.h>
#include <stdbool.h>

/* An AF_UNIX listener takes the name that its list has for it. */
bool pps_govern_wants(const struct pps_config *config, struct pps_probe *p);

/* Loads the lists, makes the clients' accounts, says `active` once, and does what settings ask of such a listener.
   false: a bad list, or a limit that cannot be held; `error` says what, and the process must not serve. */
bool pps_govern_begin(const struct pps_config *config, int fd, const struct pps_probe *p, char error[PPS_ERROR_TEXT]);

/* Says once that this process has a TCP listener whose port PPSHIM_PORTS leaves out: an admin port, or a mistake. */
void pps_govern_pass_over(const struct pps_config *config, const struct pps_probe *p);

/* A server that is given its listener may change its root before it accepts, and fork: the lists are read while they
   can be, and the accounts made while all who will accept have them. What is wrong with them is said, and fatal, when
   it waits or accepts. */
void pps_govern_prepare(const struct pps_config *config, int fd);

/* Before a connection is judged: takes up what changed in the lists' files, and says so. */
void pps_govern_refresh(void);

#endif
