/* SPDX-License-Identifier: MIT
 *
 * admit.h: one connection's way from the kernel to the server: is its peer trusted, what does its header say, may that
 * be believed.
 *
 * Works on one connection of the caller's and nothing else: no wait, no lock, no allocation, no state. Any thread, any
 * signal handler, with cancellation off (recv is a cancellation point). May change errno.
 */
#ifndef PPSHIM_ADMIT_H
#define PPSHIM_ADMIT_H

#include <ppshim/config.h>
#include <ppshim/conn.h>
#include <ppshim/lowat.h>
#include <ppshim/reason.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pps_admission {
    PPS_ADMIT_READY, /* the header is gone, the client remembered: hand it to the server */
    PPS_ADMIT_WAIT,  /* look again when conn->need bytes are there */
    PPS_ADMIT_GONE,  /* *reason says why; the caller closes it with pps_admit_close. PPS_REASON_NONE: a bare probe */
};

/* How much of a header is looked at where the stack is all there is. Longer ones need a larger buffer: look answers
   WAIT with need beyond `size`. */
#define PPS_ADMIT_STACK 536

/* Fills *conn for a connection just accepted; GONE when an untrusted peer is to be closed, READY when its peer need not
   send a header, else what the first look answers. */
enum pps_admission pps_admit_begin(struct pps_conn *conn, const struct pps_config *config,
                                   const struct pps_origin *origin, int fd, const struct sockaddr *peer,
                                   socklen_t peer_len, uint8_t *buf, size_t size, enum pps_reason *reason);

/* Peeks into `buf` (size bytes), judges, and consumes exactly the header when it is complete. */
enum pps_admission pps_admit_look(struct pps_conn *conn, const struct pps_config *config, uint8_t *buf, size_t size,
                                  enum pps_reason *reason);

/* The same of one that woke us: `ended`: all that will ever come is here. After WAIT it wakes when what it lacks is
   there. */
enum pps_admission pps_admit_progress(struct pps_conn *conn, const struct pps_config *config, uint8_t *buf, size_t size,
                                      bool ended, struct pps_lowat *wait, enum pps_reason *reason);

/* The time for the header is over: what now? READY for a silent peer of PPSHIM_HEADER_OPTIONAL, else as look, with
   PPS_REASON_TIMEOUT in place of WAIT. */
enum pps_admission pps_admit_timeout(struct pps_conn *conn, const struct pps_config *config, uint8_t *buf, size_t size,
                                     enum pps_reason *reason);

/* Logs and ends a connection that is GONE: shutdown first, because a forked child may hold a copy of it. */
void pps_admit_close(struct pps_conn *conn, enum pps_reason reason);

#endif
