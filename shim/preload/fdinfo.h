/* SPDX-License-Identifier: MIT
 *
 * fdinfo.h: what an epoll holds, as the kernel tells it (proc(5), /proc/PID/fdinfo): for registrations that were made
 * before we looked.
 *
 * No state, no allocation. Any thread, any signal handler; opens and closes a descriptor. May change errno.
 */
#ifndef PPSHIM_FDINFO_H
#define PPSHIM_FDINFO_H

#include <stdbool.h>
#include <sys/epoll.h>

/* Calls `each` with every registration of `epfd` until it answers true, and answers so itself. false also where `epfd`
   is no epoll or there is no /proc. */
bool pps_fdinfo_epoll(int epfd, bool (*each)(void *context, int fd, const struct epoll_event *event), void *context);

#endif
