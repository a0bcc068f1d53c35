/* SPDX-License-Identifier: MIT
 *
 * listener.h: a Go program's governed listeners, and the connections of each that wait for a header.
 *
 * A Go program accepts when its epoll tells of an event, edge-triggered, and goes back to its epoll at EAGAIN. So its
 * waits are left alone: the private epoll of those that are pending (pending.h) stands in the program's epolls beside
 * the listener, with the listener's data, and whoever has nothing to hand over says EAGAIN. A listener that was
 * inherited as a file stands in an epoll twice, by the file's number and by the one that is accepted from: so does the
 * private one.
 *
 * One record a listener, whatever the number of its descriptors; fd_table.h tells which number is whose. Any thread, on
 * a stack of ours. What changes is under one lock, under which nothing waits.
 */
#ifndef PPSHIM_GO_LISTENER_H
#define PPSHIM_GO_LISTENER_H

#include <ppshim/conn.h>
#include <ppshim/pending.h>
#include <ppshim/reason.h>
#include <stdbool.h>
#include <sys/epoll.h>

/* A governed listener, as it was when it was looked up. */
struct pps_go_listener {
    unsigned index, generation; /* of its record */
    struct pps_origin origin;
    unsigned pending; /* how many */
};

/* Whether `fd` is one; asks the kernel what is not known. Ends the process over a bad list. */
bool pps_go_listener_find(int fd, struct pps_go_listener *out);
/* The same, whatever is known. */
bool pps_go_listener_meet(int fd, struct pps_go_listener *out);
/* Listeners that the program was started with. */
void pps_go_listener_scan(void);

/* The number is about to be closed, or was taken for something else: what waits behind a listener's last is closed. */
void pps_go_listener_forget(int fd);

/* What epoll_ctl(2) has just done, or for EPOLL_CTL_DEL is about to do. */
void pps_go_listener_watched(const struct pps_go_listener *l, int epfd, int op, int fd,
                             const struct epoll_event *event);

/* Waits for its header from here on; the caller's no more. */
void pps_go_listener_park(const struct pps_go_listener *l, int fd, struct pps_conn *conn, int flags);

/* The next pending one that can move on: READY with its accept4 flags, else NOTHING. Closes who is to be closed. */
bool pps_go_listener_next(const struct pps_go_listener *l, struct pps_conn *conn, int *flags);

/* Closes the oldest pending one of any listener, to make room. false: none is. */
bool pps_go_listener_evict(void);

/* The private epoll; -1: there is none. */
int pps_go_listener_private(const struct pps_go_listener *l);

#endif
