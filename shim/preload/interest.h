/* SPDX-License-Identifier: MIT
 *
 * interest.h: which of the server's epolls are interested in which governed listeners, and the private epoll of parked
 * connections beside each.
 *
 * epoll_ctl on a governed listener goes to the kernel unchanged and is remembered. While connections are parked for the
 * listener, their private epoll (parked.h) stands in the same epolls with the same data, so that a header completed
 * there wakes the server as its own listener would; a bit of the event tells the two apart. When the server removes or
 * disarms its listener, the private epoll is muted, not removed: that costs the same however many are parked.
 *
 * Changes take the lock; look-ups take none and are safe in signal handlers. One that races a change sees the
 * registration before or after it, as the kernel's own event might.
 */
#ifndef PPSHIM_INTEREST_H
#define PPSHIM_INTEREST_H

#include "listener.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* epoll_ctl(2) for any descriptors, remembering what concerns governed listeners. */
int pps_interest_ctl(int epfd, int op, int fd, struct epoll_event *event);

/* `fd` has just become known as this listener: servers may have put the socket into an epoll before they called listen,
   or an earlier image may have. Looks at the lowest 256 numbers. */
void pps_interest_adopt(int fd, const struct pps_listener *l);

/* A registration as it stands; a copy. */
struct pps_interest {
    unsigned index; /* for pps_interest_* below */
    int epfd, fd;
    struct pps_listener listener; /* generation 0: an epoll inside the epoll */
    uint32_t events;              /* as the server asked */
    bool spent;                   /* EPOLLONESHOT: told, and not armed since */
    uint64_t data;
};

/* Walks the live registrations of an epoll: start with *cursor = 0. */
bool pps_interest_next(int epfd, unsigned *cursor, struct pps_interest *out);

/* Whether the epoll still holds it: its number, and the listener's, may have been closed unseen. Takes the lock. */
bool pps_interest_verify(const struct pps_interest *i);

/* Whether its events can be told from those of every other descriptor in the epoll. Asks the kernel, once. */
bool pps_interest_is_clear(const struct pps_interest *i);

/* "Look at this listener before sleeping": an event was taken from the kernel but not yet told to the server. */
void pps_interest_set_owed(const struct pps_interest *i, bool owed);
bool pps_interest_is_owed(const struct pps_interest *i);
/* The same of every edge-triggered registration of this listener: one of its late connections is held now. */
void pps_interest_owe_edges(const struct pps_listener *l);

/* The private epoll's events have this bit, where the server did not ask for it itself. */
#define PPS_INTEREST_PARKED EPOLLRDNORM

/* EPOLLONESHOT: claims the event for telling it. `fired`: the kernel has disarmed the listener with it. false: another
   thread did. */
bool pps_interest_spend(const struct pps_interest *i, bool fired);
/* Makes the kernel raise the event again if there is cause. false: it refuses (EPOLLEXCLUSIVE). */
bool pps_interest_rearm(const struct pps_interest *i);

/* Whether any epoll is interested in this listener. */
bool pps_interest_is_any(const struct pps_listener *l);
/* Whether one is that cannot tell it from another descriptor: waits leave it to the kernel. */
bool pps_interest_is_ambiguous(const struct pps_listener *l);

/* The private epoll of this listener's parked connections; -1: none now. */
int pps_interest_private(const struct pps_listener *l);

/* --- with the lock held --- */

/* The listener's private epoll came to be, or is about to be closed (-1). */
void pps_interest_attach(const struct pps_listener *l, int private_epoll);
/* Whether it stands in each of the server's epolls that hold the listener; where it could not be put it is tried again.
   Else what is parked in it would not be heard of. */
bool pps_interest_announces(const struct pps_listener *l);
/* The private epoll is no longer ours to touch: closed behind our back, or the parent's of a fork. */
void pps_interest_lost(const struct pps_listener *l);
/* `fd`, an epoll or a listener of some registration, is about to be closed. */
void pps_interest_closing(int fd);

#endif
