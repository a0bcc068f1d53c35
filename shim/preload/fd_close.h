/* SPDX-License-Identifier: MIT
 *
 * fd_close.h: the server closes descriptors, and what the shim knew about them goes.
 */
#ifndef PPSHIM_FD_CLOSE_H
#define PPSHIM_FD_CLOSE_H

/* The descriptors `first` to `last` are about to be closed (or, after dup2 and dup3, were): before a number can be
   given to somebody else. One array look-up for each that means nothing to us. A vfork child, which closes copies of
   its own but shares our memory, changes nothing but plain marks. Any thread and signal handler; may change errno. */
void pps_fd_close_range(unsigned first, unsigned last);

/* `fd` was just given out by the kernel: what is still known of that number was closed unseen (raw system calls, as
   libuv's). */
void pps_fd_closed_unseen(int fd);

/* `to` is about to be made `from` by dup2 or dup3: one of our own is let go of before. The server's are told of
   afterwards, if it succeeded. */
void pps_fd_give_way(int from, int to);

#endif
