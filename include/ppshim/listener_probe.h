/* SPDX-License-Identifier: MIT
 *
 * listener_probe.h: what the kernel says of a descriptor that may be a listener. No state; some getsockopt. May change
 * errno.
 */
#ifndef PPSHIM_LISTENER_PROBE_H
#define PPSHIM_LISTENER_PROBE_H

#include <ppshim/addr.h>
#include <ppshim/unix_name.h>
#include <stdbool.h>
#include <stdint.h>

struct pps_probe {
    struct pps_addr local;
    struct pps_unix_name name;
    uint64_t cookie; /* 0: the kernel has none */
    int lowat;       /* SO_RCVLOWAT */
    bool listens, tcp, inet6, v6only, is_unix;
};

/* One question. *no_socket: not even that. */
bool pps_probe_is_no_listener(int fd, bool *no_socket);

/* false: it cannot be asked. */
bool pps_probe(int fd, struct pps_probe *out);
/* Of a socket that is about to listen; out->listens is false. One that is not bound has no port yet. */
bool pps_probe_before_listen(int fd, struct pps_probe *out);

/* 0: none. */
uint64_t pps_probe_cookie(int fd);

#endif
