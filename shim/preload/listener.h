/* SPDX-License-Identifier: MIT
 *
 * listener.h: the governed listeners of this process.
 *
 * A listener is one record (record.h), however many numbers it has (dup, SCM_RIGHTS); the kernel's SO_COOKIE tells
 * which numbers are one. A number is met by listen(), or asked about (a few getsockopt, once) when accept meets it for
 * the first time, so that listeners inherited over exec or received from another process are governed too. Numbers
 * whose close we did not see (raw system calls) correct themselves: see pps_listener_recheck.
 *
 *            meet, last number goes                nobody is in it any more, and a new listener is met
 *     free ---------> governed ---------> ended ----------------------------------------------------> governed
 *
 * A TCP listener is governed by its port, an AF_UNIX stream listener if a list names it. Look-ups take no lock and are
 * safe in signal handlers; meeting and forgetting take the lock.
 */
#ifndef PPSHIM_LISTENER_H
#define PPSHIM_LISTENER_H

#include "fd_table.h"
#include <ppshim/conn.h>
#include <stdbool.h>
#include <stdint.h>

#define PPS_LISTENERS_MAX 4096

struct pps_listener {                        /* a copy: stays meaningful when the listener is closed meanwhile */
    uint16_t index;                          /* of its record */
    uint16_t generation;                     /* tells it from a later listener in the same record; 0: no listener */
    uint16_t port;                           /* local, host byte order; of an AF_UNIX listener the number of its name */
    bool inet6 : 1, v6only : 1, is_unix : 1; /* of its sockets */
};
_Static_assert(sizeof(struct pps_listener) == 8, "read and written whole");

static inline bool pps_listener_same(const struct pps_listener *a, const struct pps_listener *b)
{
    return a->index == b->index && a->generation == b->generation;
}

/* What its connections take over from it. */
struct pps_origin pps_listener_origin(const struct pps_listener *l);

/* Whether it has a number still. */
bool pps_listener_is_open(const struct pps_listener *l);

/* Once, from the constructor: whether somebody is still at work with the listener that had a record, under the lock;
   and whom to tell when a listener has lost its last number without a close that we saw, without it. */
void pps_listener_start(bool (*in_use)(const struct pps_listener *), void (*ended)(const struct pps_listener *));

/* At start: marks the listeners this image was given (socket activation, exec), so that its first wait finds them. They
   are not governed before the server waits or accepts: an image that only happens to have one must not be failed by a
   bad list. */
void pps_listener_scan(void);

/* Kind of `fd`, asking the kernel about an unknown one; fills *out when PPS_FD_GOVERNED. When a process first governs a
   listener the trust lists are loaded (a bad one ends the process, status 78) and the `active` line is written. */
enum pps_fd_kind pps_listener_find(int fd, struct pps_listener *out);
/* The same, believing of a governed number only what one question to the kernel confirms. */
enum pps_fd_kind pps_listener_confirm(int fd, struct pps_listener *out);
/* The same, believing nothing: after listen(), and after accept succeeded on what was PPS_FD_OTHER. */
enum pps_fd_kind pps_listener_recheck(int fd, struct pps_listener *out);

/* `fd` is about to be closed, or was, and the lock is held. true when it was the last number of a governed listener,
   which is then in *gone: the caller lets go of all that waits for it, without the lock. */
bool pps_listener_forget(int fd, struct pps_listener *gone);

#endif
