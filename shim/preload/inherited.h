/* SPDX-License-Identifier: MIT
 *
 * inherited.h: PPSHIM_INHERITED: the connection that a process was started with, accepted by somebody else (inetd,
 * xinetd, systemd's Accept=yes), on fd 0 or among LISTEN_FDS.
 *
 * Its header is taken before the program begins: the one place where the shim waits. A chain of programs takes it
 * once: what is remembered in the socket tells the later ones, at the price of two system calls. Listeners are not
 * touched: they are governed when they are first waited for.
 */
#ifndef PPSHIM_INHERITED_H
#define PPSHIM_INHERITED_H

/*
 * From the constructor, after the log is up; one branch when the setting is off. Returns when every inherited
 * connection may be served. Ends the process, with its connections, when one may not: status 78 and the usual `reject`
 * line; status 0 and no line when its peer left without a byte. A bad list is status 78 as well, but lists are read
 * only for a connection on a governed port.
 */
void pps_inherited_take(void);

#endif
