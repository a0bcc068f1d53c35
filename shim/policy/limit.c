/* SPDX-License-Identifier: MIT
 *
 * limit.c: the arithmetic of limits (limit.h).
 */
#include <ppshim/limit.h>
#include <string.h>

/* The tokens that are missing are the time until it is full: what one token takes to come back, each. */
bool pps_limit_take(const struct pps_limit *l, uint64_t *full_at, uint64_t now)
{
    uint64_t token = l->window / l->count, from = *full_at > now ? *full_at : now;
    if (from - now > token * (l->count - 1))
        return false;
    *full_at = from + token;
    return true;
}

static uint64_t rotated(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static void mix(uint64_t v[4], int rounds)
{
    while (rounds--) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotated(v[1], 13) ^ v[0];
        v[3] = rotated(v[3], 16) ^ v[2];
        v[0] = rotated(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotated(v[1], 17) ^ v[2];
        v[3] = rotated(v[3], 21) ^ v[0];
        v[2] = rotated(v[2], 32);
    }
}

static uint64_t little_endian(const uint8_t bytes[8])
{
    uint64_t word = 0;
    for (int i = 8; i--;)
        word = word << 8 | bytes[i];
    return word;
}

uint64_t pps_limit_hash(const struct pps_limit_seed *seed, const uint8_t bytes[16])
{
    uint64_t v[4] = {seed->word[0] ^ 0x736f6d6570736575, seed->word[1] ^ 0x646f72616e646f6d,
                     seed->word[0] ^ 0x6c7967656e657261, seed->word[1] ^ 0x7465646279746573};
    const uint64_t words[] = {little_endian(bytes), little_endian(bytes + 8), UINT64_C(16) << 56};
    for (int i = 0; i < 3; i++) {
        v[3] ^= words[i];
        mix(v, 2);
        v[0] ^= words[i];
    }
    v[2] ^= 0xff;
    mix(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t pps_limit_client(const struct pps_limit *l, const struct pps_limit_seed *seed, const struct pps_addr *a)
{
    uint8_t ip[16];
    unsigned bits = pps_addr_is_v4(a) ? 96u + l->prefix4 : l->prefix6;
    memcpy(ip, a->ip, sizeof ip);
    for (unsigned i = 0; i < sizeof ip; i++, bits -= bits < 8 ? bits : 8)
        ip[i] &= bits < 8 ? (uint8_t)(0xff00 >> bits) : 0xff;
    uint64_t client = pps_limit_hash(seed, ip);
    return client ? client : 1;
}
