/* SPDX-License-Identifier: MIT
 *
 * slot.h: room for one connection that the server does not have yet.
 *
 *            claim empty            put
 *     EMPTY -------------> CLAIMED -----> FULL
 *       ^                  |     ^         |
 *       +------------------+     +---------+
 *             release             claim full
 *
 * Only who claimed it touches the connection; nobody waits for a claim. The word that is claimed holds the tag of whom
 * the slot belongs to and the process's epoch, so that a claim on what was meanwhile closed, given to somebody else or
 * left behind by a fork comes to nothing. Any thread and signal handler; no system call but where it says so.
 */
#ifndef PPSHIM_SLOT_H
#define PPSHIM_SLOT_H

#include <ppshim/conn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef uint64_t pps_claim; /* 0: none */

struct pps_slot {
    _Atomic uint64_t word;
    _Atomic int fd; /* plus one, while it is CLAIMED or FULL, as far as known: for the child of a fork */
    int flags;      /* of the connection: as accept4(2) with them would have left it */
    struct pps_conn conn;
};

/* For a new tag, which claims must name. false: somebody is busy with it still. */
bool pps_slot_open(struct pps_slot *slot, uint16_t tag);
/* From now on nothing can be claimed, and what is put is not taken; if the tag still is this one. true: a connection
   was in it, which is the caller's now. */
bool pps_slot_close(struct pps_slot *slot, uint16_t tag, struct pps_conn *conn);
/* Whether nobody has it and nothing is in it. */
bool pps_slot_is_idle(const struct pps_slot *slot);

bool pps_slot_is_full(const struct pps_slot *slot, uint16_t tag);
pps_claim pps_slot_claim_empty(struct pps_slot *slot, uint16_t tag);
pps_claim pps_slot_claim_full(struct pps_slot *slot, uint16_t tag);

/* For slots that belong to nobody: each connection has the next tag. */
uint16_t pps_slot_tag(const struct pps_slot *slot);
pps_claim pps_slot_claim_next(struct pps_slot *slot);

/* `fd` is the connection that is about to be put: a forked child closes its copy. */
void pps_slot_expect(struct pps_slot *slot, pps_claim claim, int fd);
/* Whether this is the child of a fork that came after the claim: its copy of the connection is closed. */
bool pps_slot_is_void(const struct pps_slot *slot, pps_claim claim);

/* Both end the claim. false: the slot was closed, and the connection is the caller's; or the claim was void, and
   conn->fd is -1. */
bool pps_slot_put(struct pps_slot *slot, pps_claim claim, struct pps_conn *conn, int flags);
void pps_slot_release(struct pps_slot *slot, pps_claim claim);

/* process.h's after_fork: the child closes its copy. */
void pps_slot_after_fork(struct pps_slot *slot, bool at_once);

#endif
