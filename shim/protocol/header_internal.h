/* SPDX-License-Identifier: MIT
 *
 * header_internal.h: what the files behind header.h share with each other and with nobody else.
 */
#ifndef PPS_HEADER_PARTS_H
#define PPS_HEADER_PARTS_H

#include <ppshim/header.h>

#define PPS_V1_PREFIX "PROXY "
#define PPS_V1_PREFIX_LENGTH (sizeof PPS_V1_PREFIX - 1)
#define PPS_V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define PPS_V2_SIGNATURE_LENGTH (sizeof PPS_V2_SIGNATURE - 1)

/* Address blocks of spec 2.2: two addresses, then two ports where there are any. */
#define PPS_BLOCK_INET 12
#define PPS_BLOCK_INET6 36
#define PPS_BLOCK_UNIX 216

/* pps_header_parse for a buffer known to begin with the version's prefix or signature; for version 2, known to hold
   PPS_V2_FIXED bytes. */
enum pps_verdict pps_header_parse_v1(const uint8_t *buf, size_t len, struct pps_header *out, size_t *need,
                                     enum pps_reason *reason);
enum pps_verdict pps_header_parse_v2(const uint8_t *buf, size_t len, struct pps_header *out, size_t *need,
                                     enum pps_reason *reason);

/* What the CRC32C field of this header must hold: its own value, PPS_CRC_LENGTH bytes at `field`, counts as zeros. */
#define PPS_CRC_LENGTH 4
uint32_t pps_header_crc(const uint8_t *buf, size_t length, const uint8_t *field);

/* Scanners of header_v1_fields.c: how many bytes the field lacks at least. Write the address, or the port, of *out when
   that is 0. */
#define PPS_IMPOSSIBLE (-1)
typedef int pps_scanner(const uint8_t *text, size_t length, struct pps_addr *out);
pps_scanner pps_scan_ipv4, pps_scan_ipv6, pps_scan_port;

/* The whole text is an address of that family, AF_INET or AF_INET6; else *out is untouched. */
static inline bool pps_scan_ip(int family, const char *text, size_t length, struct pps_addr *out)
{
    pps_scanner *scan = family == AF_INET ? pps_scan_ipv4 : pps_scan_ipv6;
    return scan((const uint8_t *)text, length, out) == 0;
}

static inline uint16_t pps_get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t pps_get_u32(const uint8_t *p)
{
    return (uint32_t)pps_get_u16(p) << 16 | pps_get_u16(p + 2);
}

static inline void pps_put_u16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void pps_put_u32(uint8_t *p, uint32_t value)
{
    pps_put_u16(p, (uint16_t)(value >> 16));
    pps_put_u16(p + 2, (uint16_t)value);
}

#endif
