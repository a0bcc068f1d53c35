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

struct pps_place;

/* Never NULL; of a listener that is closed by now, a place where nothing is accepted and nothing held. */
struct pps_place *pps_place_of(const struct pps_listener *l);

/* --- how the server goes about it --- */

/* It calls accept4 with these flags. Returns whether a wait passed the kernel's readiness on since the last call: then
   accept must not wait, for the server was not told the truth. */
bool pps_place_accepting(struct pps_place *p, int flags);
/* The flags it last used; -1: this process never called accept. */
int pps_place_flags(const struct pps_place *p);
/* A wait passes the kernel's readiness on. */
void pps_place_pass(struct pps_place *p);

/* A wait of this process names the listener (poll, select); epolls are known to interest.h. */
void pps_place_see(struct pps_place *p);
bool pps_place_is_seen(const struct pps_place *p);

/* Whether the listener is in blocking mode: asked once; a later change goes unnoticed. */
bool pps_place_is_blocking(struct pps_place *p, int listener_fd);

/* --- the held connection --- */

bool pps_place_holds(const struct pps_place *p);

enum pps_claim { PPS_CLAIMED, PPS_CLAIM_HELD, PPS_CLAIM_BUSY };
/* To put a connection there; HELD: one is there already. */
enum pps_claim pps_place_claim(struct pps_place *p);
/* Ends a claim: `conn`, accepted with these accept4 flags, is held; or none if it is NULL. */
void pps_place_put(struct pps_place *p, const struct pps_conn *conn, int flags);
/* Takes the held one, mended to these flags. false: there is none. */
bool pps_place_take(struct pps_place *p, int flags, struct pps_conn *conn);

/* The listener's last number is being closed: so is the held connection. */
void pps_place_closing(const struct pps_listener *l);

/* lock.h's after_fork. */
void pps_place_after_fork(bool at_once);

#endif
