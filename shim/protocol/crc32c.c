/* SPDX-License-Identifier: MIT
 *
 * crc32c.c: CRC-32C (Castagnoli), RFC 3720 appendix B.4, spec 2.2.3.
 *
 * Four bits a step from a table the compiler works out: no set-up at run time that threads or fork could race with, and
 * fast enough for the largest header.
 */
#include <ppshim/header.h>

#define POLYNOMIAL UINT32_C(0x82f63b78) /* 0x1edc6f41 with its bits reversed */
#define ONE_BIT(c) ((c) >> 1 ^ (POLYNOMIAL & -((c)&1)))
#define FOUR_BITS(c) ONE_BIT(ONE_BIT(ONE_BIT(ONE_BIT(UINT32_C(c)))))

static const uint32_t table[16] = {
    FOUR_BITS(0),  FOUR_BITS(1),  FOUR_BITS(2),  FOUR_BITS(3),  FOUR_BITS(4),  FOUR_BITS(5),
    FOUR_BITS(6),  FOUR_BITS(7),  FOUR_BITS(8),  FOUR_BITS(9),  FOUR_BITS(10), FOUR_BITS(11),
    FOUR_BITS(12), FOUR_BITS(13), FOUR_BITS(14), FOUR_BITS(15),
};

uint32_t pps_crc32c(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;

    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
