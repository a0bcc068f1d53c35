/* SPDX-License-Identifier: MIT
 *
 * late.h: connections whose header is not there yet, but will be in a moment: a balancer connects, and then sends.
 *
 * For PPS_LATE_PATIENCE such a connection stays where accept left it, in one of a few slots, and whoever waits for its
 * listener watches the socket itself: no epoll, no timer, no other number, no lock. Only what is silent for longer, or
 * came in part, is parked (parked.h).
 *
 * Every wait gathers the late ones of its listeners before it sleeps. So each is watched by the thread that took it
 * from the kernel, and after that by the next that waits; a thread that leaves its wait with late ones behind parks
 * them, if another thread waits for that listener too (acquire.h).
 *
 * Any thread and signal handler; no system call but where it says so. The child of a fork closes its copies.
 */
#ifndef PPSHIM_LATE_H
#define PPSHIM_LATE_H

#include "listener.h"
#include "slot.h"
#include <poll.h>
#include <ppshim/deadline.h>

#define PPS_LATE_MAX 8
#define PPS_LATE_PATIENCE (PPS_SECOND / 50)

/* Whether there is any at all: one load. */
bool pps_late_is_any(void);

/* Takes the connection over; accepted with these accept4 flags. false: no slot is free, or the listener is closed; the
   caller still has it. */
bool pps_late_put(const struct pps_listener *l, struct pps_conn *conn, int flags);

/* Those that one wait watches. */
struct pps_late {
    unsigned count;
    uint64_t until; /* when the first of them has been late for long; PPS_NEVER: none */
    struct pollfd fds[PPS_LATE_MAX];
    struct {
        uint16_t slot, tag;
    } which[PPS_LATE_MAX];
};

/* Makes it those of no listener; adds those of one, or of all. */
void pps_late_gather_none(struct pps_late *late);
void pps_late_gather(struct pps_late *late, const struct pps_listener *l);
void pps_late_gather_all(struct pps_late *late);

/* One that is claimed, as it is: the caller ends the claim, and has the connection after a release. */
struct pps_late_claim {
    struct pps_slot *slot;
    pps_claim claim;
    struct pps_listener listener;
    struct pps_conn conn;
    int flags;
};
bool pps_late_claim(const struct pps_late *late, unsigned i, struct pps_late_claim *out);
/* The next one of this listener, or of any when it is NULL. */
bool pps_late_claim_any(const struct pps_listener *l, struct pps_late_claim *out);

void pps_late_release(const struct pps_late_claim *claim);
void pps_late_put_back(struct pps_late_claim *claim);

/* The server is about to close this number, of PPS_FD_OURS. */
void pps_late_closing(int fd);

/* process.h's after_fork. */
void pps_late_after_fork(bool at_once);

#endif
