/* SPDX-License-Identifier: MIT
 *
 * status.h: what `ppshim check` reads in the memory of a process that runs: /proc shows neither whether the shim is on,
 * once a program has overwritten its environment, nor whether the process has accepted.
 *
 * The library exports one of these under the name ppshim_status; it only ever grows at its end. Written by the
 * constructor, then by single atomic stores.
 */
#ifndef PPSHIM_STATUS_H
#define PPSHIM_STATUS_H

#include <ppshim/config.h>
#include <stdatomic.h>
#include <stdint.h>

struct pps_status {
    uint32_t size;            /* of the struct, as the library was built */
    uint32_t settings;        /* pps_config.checksum; 0 with nothing set */
    _Atomic uint32_t on;      /* 1: the shim is on */
    _Atomic uint32_t accepts; /* 1: this very process has called accept on a governed listener */
    uint32_t config_size;     /* of what `config` points to: another size is another build's */
    const struct pps_config *config;
};

#endif
