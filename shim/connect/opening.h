/* SPDX-License-Identifier: MIT
 *
 * opening.h: with which header a connection opens, as `ppshim connect` tells libppconnect.so by the environment. The
 * names do not begin with PPSHIM_, which belongs to the settings of libppshim.so.
 *
 *   LIBPPCONNECT_HEADER       the whole header in hex
 *   LIBPPCONNECT_DESTINATION  "peer": its destination is the address connected to; unset: as it stands in the header
 *   LIBPPCONNECT_ONLY         "127.0.0.1:5432 [::1]:* *:80": connections to others stay as they are; unset: all
 */
#ifndef PPCONNECT_OPENING_H
#define PPCONNECT_OPENING_H

#include <ppshim/addr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PPC_HEADER "LIBPPCONNECT_HEADER"
#define PPC_DESTINATION "LIBPPCONNECT_DESTINATION"
#define PPC_ONLY "LIBPPCONNECT_ONLY"

#define PPC_HEADER_MAX 4096 /* larger ones are valid, but no client's; less than a thread's stack can bear */
#define PPC_ONLY_MAX 64

struct ppc_opening {
    size_t length;
    uint8_t bytes[PPC_HEADER_MAX];
};

/* Whether a connection to `peer` opens with a header. */
bool ppc_opening_wanted(const struct pps_addr *peer);

/* That header. false: there is none (version 1 cannot name a client and a server of different families). */
bool ppc_opening_write(struct ppc_opening *out, const struct pps_addr *peer);

#endif
