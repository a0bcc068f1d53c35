/* SPDX-License-Identifier: MIT
 *
 * lowat.h: a connection that wakes who watches it, edge-triggered, once when so many bytes are there (SO_RCVLOWAT).
 *
 * Level-triggered a low-water mark capped by a small receive buffer, an urgent byte or a FIN would stay readable. No
 * state but the caller's; any thread, any signal handler. May change errno.
 */
#ifndef PPSHIM_LOWAT_H
#define PPSHIM_LOWAT_H

#include <stdbool.h>
#include <stdint.h>

struct pps_lowat {
    int inherited; /* SO_RCVLOWAT as it came from the listener */
    int asked;     /* as we set it */
    int rcvbuf;    /* SO_RCVBUF as the server set it; 0: we left it alone */
};

/* No system call. */
void pps_lowat_begin(struct pps_lowat *w, int inherited);

/* Wakes when `need` bytes are there. false: the receive buffer cannot be made large enough. */
bool pps_lowat_ask(struct pps_lowat *w, int fd, uint32_t need);

/* As it was at the beginning. */
void pps_lowat_end(const struct pps_lowat *w, int fd);

#endif
