/* SPDX-License-Identifier: MIT
 *
 * held.h: what this process has to do with one listener: how it waits for it and accepts from it, and the one
 * connection that a wait was told of and the server has not accepted yet.
 *
 * Held in atomics, not under the guard: taking the connection over costs no system call. Whoever moves it on claims the
 * place first; nobody waits for a claim. Any thread and signal handler. In the child of a fork all is forgotten but
 * that the kernel's readiness was passed on: what a wait told the parent may have made the child accept.
 */
#ifndef PPSHIM_HELD_H
#define PPSHIM_HELD_H

#include <ppshim/admit.h>
#include <ppshim/listener.h>
#include <stdbool.h>

/* Of a listener that is closed by now nothing is known, nothing is remembered and nothing held: a thread that is still
   at work with it changes nothing for a later one in the same record. */

/* --- how the server goes about it --- */

/* It calls accept4 with these flags. Returns whether a wait passed the kernel's readiness on since the last call: then
   accept must not wait, for the server was not told the truth. */
bool pps_place_accepting(const struct pps_listener *l, int flags);
/* The flags it last used; -1: this process never called accept. */
int pps_place_flags(const struct pps_listener *l);
/* A wait passes the kernel's readiness on. */
void pps_place_pass(const struct pps_listener *l);

/* A wait of this process names the listener (poll, select); epolls are known to interest.h. */
void pps_place_see(const struct pps_listener *l);
bool pps_place_is_seen(const struct pps_listener *l);

/* Whether the listener is in blocking mode: asked once; a later change goes unnoticed. */
bool pps_place_is_blocking(const struct pps_listener *l, int listener_fd);

/* --- the held connection --- */

bool pps_place_holds(const struct pps_listener *l);

enum pps_claim {
    PPS_CLAIMED,
    PPS_CLAIM_HELD,   /* one is there already */
    PPS_CLAIM_BUSY,   /* another thread fills the place, or takes from it */
    PPS_CLAIM_LEFT,   /* so does one that is still at work with an earlier listener: soon it is free */
    PPS_CLAIM_CLOSED, /* the listener is */
};
/* To put a connection there. */
enum pps_claim pps_place_claim(const struct pps_listener *l);
/* Ends a claim: `conn`, accepted with these accept4 flags, is held; or none if it is NULL. false: the listener was
   closed meanwhile, and so is the connection. */
bool pps_place_put(const struct pps_listener *l, const struct pps_conn *conn, int flags);
/* Takes the held one, mended to these flags. false: there is none. */
bool pps_place_take(const struct pps_listener *l, int flags, struct pps_conn *conn);

/* The listener's last number is being closed, or was where nobody saw it: so is the held connection, if its number is
   ours still. With the guard held. */
void pps_place_closing(const struct pps_listener *l, bool unseen);

/* lock.h's after_fork. */
void pps_place_after_fork(bool at_once);

#endif
