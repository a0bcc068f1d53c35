/* SPDX-License-Identifier: MIT
 *
 * journal.h: the datagram by which the library tells `ppshim journal` that a connection is the server's from now on.
 *
 * One datagram a connection, to the Unix socket that PPSHIM_JOURNAL names: this struct, as this machine lays it out,
 * and behind it the TLVs of the header as they were sent. How the connection ends the kernel tells, by the same cookie
 * (NETLINK_SOCK_DIAG, SKNLGRP_INET_TCP_DESTROY). Who sent it the kernel tells too (SO_PASSCRED).
 */
#ifndef PPSHIM_JOURNAL_H
#define PPSHIM_JOURNAL_H

#include <ppshim/addr.h>
#include <stdbool.h>
#include <stdint.h>

#define PPS_JOURNAL_MAGIC UINT32_C(0x4a505001) /* the last byte is the layout's version */

/* TLVs beyond this are cut off, and flagged. */
#define PPS_JOURNAL_TLVS_MAX 8192

enum pps_journal_kind {
    PPS_JOURNAL_PROXIED,   /* `client` and `server` are the header's */
    PPS_JOURNAL_LOCAL,     /* v2 LOCAL: the balancer's own */
    PPS_JOURNAL_UNKNOWN,   /* a header that names no TCP client */
    PPS_JOURNAL_NO_HEADER, /* of a peer that need not send one */
    PPS_JOURNAL_UNTRUSTED, /* of a peer in no list */
};

enum { PPS_JOURNAL_TLVS_CUT = 1 };

struct pps_journal_datagram {
    uint32_t magic;
    uint8_t kind;
    uint8_t header_version; /* 1, 2; 0: none */
    uint8_t flags;
    uint8_t zero;
    uint64_t cookie; /* SO_COOKIE */
    uint64_t time;   /* nanoseconds of CLOCK_REALTIME */
    uint32_t run;  /* tells this process from another that has, or had, its number: not all of them may be told by it */
    uint32_t lost; /* starts that this process could not send, up to now */
    uint32_t header_length;
    uint16_t tlvs_length;
    uint16_t local_port;
    struct pps_addr peer, client, server;
};

/* Where the library keeps a descriptor of its own (own_fds.h, for which conn is too low). */
struct pps_journal_shelf {
    int (*put)(int fd);    /* out of the server's way; returns its number */
    bool (*holds)(int fd); /* as far as is known, that number is ours still */
    void (*take)(int fd);  /* closes it */
};

/* Once, before other threads; NULL: there is none. The path fits a sockaddr_un, and lives for ever. Opens nothing. */
void pps_journal_begin(const char *path, const struct pps_journal_shelf *shelf);

/* In a child of fork. */
void pps_journal_after_fork(void);

#endif
