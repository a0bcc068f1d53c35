/* SPDX-License-Identifier: MIT
 *
 * judge.c: see judge.h.
 */
#include "judge.h"
#include "guard_page.h"
#include <errno.h>
#include <string.h>

#define UNTOUCHED 0xa5

static bool untouched(const void *object, size_t size)
{
    const uint8_t *p = object;

    for (size_t i = 0; i < size; i++) {
        if (p[i] != UNTOUCHED)
            return false;
    }
    return true;
}

struct answer judge_here(const uint8_t *bytes, size_t size)
{
    struct answer a;

    memset(&a, UNTOUCHED, sizeof a);
    errno = ENOTNAM;
    a.verdict = pps_header_parse(bytes, size, &a.header, &a.need, &a.reason);
    MUST(errno == ENOTNAM, "errno %d after verdict %d", errno, a.verdict);
    MUST(untouched(&a.header, sizeof a.header) == (a.verdict != PPS_HEADER_COMPLETE), "out, verdict %d", a.verdict);
    MUST(untouched(&a.need, sizeof a.need) == (a.verdict != PPS_HEADER_NEED), "need, verdict %d", a.verdict);
    MUST(untouched(&a.reason, sizeof a.reason) == (a.verdict != PPS_HEADER_INVALID), "reason, verdict %d", a.verdict);
    MUST(a.verdict != PPS_HEADER_NEED || a.need > size, "need %zu of %zu", a.need, size);
    MUST(a.verdict != PPS_HEADER_COMPLETE || a.header.length <= size, "header of %zu in %zu", a.header.length, size);
    return a;
}

struct answer judge(const void *bytes, size_t size)
{
    return judge_here(guard_copy(bytes, size), size);
}

static void same_addr(const struct pps_addr *a, const struct pps_addr *b)
{
    ck_assert_mem_eq(a->ip, b->ip, sizeof a->ip);
    ck_assert_uint_eq(a->port, b->port);
}

void same_header(const struct pps_header *a, const struct pps_header *b)
{
    ck_assert_uint_eq(a->length, b->length);
    ck_assert_uint_eq(a->version, b->version);
    ck_assert_int_eq(a->local, b->local);
    ck_assert_int_eq(a->has_client, b->has_client);
    ck_assert_uint_eq(a->tlvs.length, b->tlvs.length);
    same_addr(&a->src, &b->src);
    same_addr(&a->dst, &b->dst);
}
