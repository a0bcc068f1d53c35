/* SPDX-License-Identifier: MIT
 *
 * trace.c: see trace.h.
 */
#include "trace.h"

#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#else /* the arguments are seen, and nothing is made of them */
static inline void ignore(int fd, ...)
{
    (void)fd;
}
#define STAP_PROBE3(provider, name, ...) ignore(__VA_ARGS__)
#define STAP_PROBE5(provider, name, ...) ignore(__VA_ARGS__)
#define STAP_PROBE6(provider, name, ...) ignore(__VA_ARGS__)
#endif

/* A pointer to 16 bytes, an IPv6 address; IPv4 is ::ffff:a.b.c.d. */
static const void *ip(const struct pps_addr *a)
{
    return a->ip;
}

void pps_trace_accepted(const struct pps_conn *c, const struct pps_header *h)
{
    const void *client = h->has_client ? ip(&h->src) : NULL;
    STAP_PROBE6(ppshim, accepted, c->fd, ip(&c->peer), c->peer.port, c->origin.port, client, h->src.port);
}

void pps_trace_passed(const struct pps_conn *c)
{
    int untrusted = c->trust == PPS_UNTRUSTED;
    STAP_PROBE5(ppshim, passed, c->fd, ip(&c->peer), c->peer.port, c->origin.port, untrusted);
}

void pps_trace_parked(const struct pps_conn *c)
{
    STAP_PROBE5(ppshim, parked, c->fd, ip(&c->peer), c->peer.port, c->origin.port, c->have);
}

void pps_trace_rejected(const struct pps_conn *c, enum pps_reason reason)
{
    const char *word = pps_reason_word(reason);
    STAP_PROBE6(ppshim, rejected, c->fd, ip(&c->peer), c->peer.port, c->origin.port, word, c->have);
}

void pps_trace_recalled(int fd, const struct pps_client *client)
{
    STAP_PROBE3(ppshim, recalled, fd, ip(&client->addr), client->addr.port);
}
