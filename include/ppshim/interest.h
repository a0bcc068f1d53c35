/* SPDX-License-Identifier: MIT
 *
 * interest.h: which of the server's epolls hold which governed listeners, and the parked connections' epoll beside
 * them.
 *
 * epoll_ctl on a governed listener goes to the kernel unchanged and is remembered. While connections are parked for the
 * listener, their private epoll (parked.h) stands in the same epolls with the same data, so that a header completed
 * there wakes the server as its own listener would. When the server removes or disarms its listener, the private epoll
 * is muted, not removed: that costs the same however many are parked.
 *
 * Changes take the guard; look-ups take no lock and are safe in signal handlers.
 */
#ifndef PPSHIM_INTEREST_H
#define PPSHIM_INTEREST_H

#include <ppshim/listener.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* epoll_ctl(2) for any descriptors, remembering what concerns governed listeners. */
int pps_watch_ctl(int epfd, int op, int fd, struct epoll_event *event);

/* `fd` has just become known as this listener: servers may have put the socket into an epoll before they called listen,
   or an earlier image may have. Looks at the lowest 256 numbers; takes the guard. */
void pps_watch_adopt(int fd, const struct pps_listener *l);

/* A registration as it stands; a copy. Of an epoll inside the epoll, when listener.generation is 0. */
struct pps_watch {
    unsigned slot; /* for pps_watch_* below */
    int epfd, fd;
    struct pps_listener listener;
    uint32_t events; /* as the server asked */
    bool spent;      /* EPOLLONESHOT: told, and not armed since */
    uint64_t data;
};

/* Walks the live registrations of an epoll: start with *cursor = 0. */
bool pps_watch_next(int epfd, unsigned *cursor, struct pps_watch *out);

/* Whether another descriptor in the epoll has the same data, so that an event which came to nothing may be its. Asks
   the kernel once, at a cost that grows with the epoll. With cancellation off. */
bool pps_watch_shares_data(const struct pps_watch *w);

/* Whether the epoll holds the listener still; asks the kernel, and counts it as removed if not. Takes the guard. */
bool pps_watch_is_there(const struct pps_watch *w);

/* "Look at this listener before sleeping": an event was taken from the kernel but not yet told to the server. */
void pps_watch_set_owed(const struct pps_watch *w, bool owed);
bool pps_watch_owed(const struct pps_watch *w);

/* EPOLLONESHOT: claims the event for telling it. false: another thread did. */
bool pps_watch_spend(const struct pps_watch *w);
/* Makes the kernel raise the event again if there is cause. false: it refuses (EPOLLEXCLUSIVE). */
bool pps_watch_rearm(const struct pps_watch *w);

/* Whether any epoll watches this listener. */
bool pps_watch_any(const struct pps_listener *l);

/* The private epoll of this listener's parked connections; -1: none now. */
int pps_watch_private(const struct pps_listener *l);

/* --- with the guard held --- */

/* The listener's private epoll came to be, or is about to be closed (-1). */
void pps_watch_attach(const struct pps_listener *l, int private_epoll);
/* The private epoll is no longer ours to touch: closed behind our back, or the parent's of a fork. */
void pps_watch_lost(const struct pps_listener *l);
/* `fd`, an epoll or a listener of some registration, is about to be closed. */
void pps_watch_closing(int fd);

#endif
