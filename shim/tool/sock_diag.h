/* SPDX-License-Identifier: MIT
 *
 * sock_diag.h: what the kernel says of TCP sockets by sock_diag(7): each one's end, and which there are. Of the network
 * namespace this process is in; needs no privilege. Owns libmnl.
 */
#ifndef PPSHIM_SOCK_DIAG_H
#define PPSHIM_SOCK_DIAG_H

#include <ppshim/addr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mnl_socket;

enum tool_ending {
    TOOL_ENDED_UNKNOWN, /* this kernel does not tell */
    TOOL_ENDED_CLOSED,  /* all that was sent was acknowledged, the FIN too */
    TOOL_ENDED_RESET,   /* by either side */
    TOOL_ENDED_TIMEOUT, /* the peer acknowledged no more */
};

struct tool_end {
    uint64_t cookie; /* SO_COOKIE */
    struct pps_addr local, peer;
    uint64_t bytes_in;  /* a FIN that came counts as one, as the kernel has it */
    uint64_t bytes_out; /* acknowledged */
    enum tool_ending how;
};

/* A socket that hears of ends from now on, with as large a buffer as we may have. NULL and errno. */
struct mnl_socket *tool_ends_open(void);
/* What one message, or several, say. */
void tool_ends_parse(const void *message, size_t length, void (*take)(const struct tool_end *end, void *arg),
                     void *arg);

/* The cookies of all TCP sockets that are connected, or half. false and errno. */
bool tool_sockets_alive(void (*take)(uint64_t cookie, void *arg), void *arg);

#endif
