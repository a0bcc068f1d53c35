/* SPDX-License-Identifier: MIT
 *
 * fd_close.h: the server closes descriptors, and what the shim knew about them goes.
 */
#ifndef PPSHIM_FD_CLOSE_H
#define PPSHIM_FD_CLOSE_H

#include <ppshim/listener.h>
#include <stdbool.h>

/* `fd` is about to be closed (or, after dup2 and dup3, was): before the number can be given to somebody else. One array
   look-up for a number that means nothing to us. Nothing happens in a vfork child, which closes copies of its own but
   shares our memory. Any thread and signal handler; may change errno. */
void pps_closing(int fd);

/* `fd` was just given out by the kernel: what is still known of that number was closed unseen (raw system calls, as
   libuv's). */
void pps_closed_unseen(int fd);

/* accept on `fd` failed as on no listener: whether this one's close was unseen; what was known of it goes then. */
bool pps_listener_closed_unseen(int fd, const struct pps_listener *l);

/* pps_closed_unseen where the guard is held; for pps_listener_tell_of_unseen_closes. */
void pps_was_closed(int fd);

/* The same as pps_closing for first to last. */
void pps_closing_range(unsigned first, unsigned last);

#endif
