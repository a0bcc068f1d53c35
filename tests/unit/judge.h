/* SPDX-License-Identifier: MIT
 *
 * judge.h: asks the parser, and checks on every answer what header.h promises of all of them.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include <check.h>
#include <ppshim/header.h>

/* ck_assert_msg for loops of a million rounds: that one reports its place each time it is passed. */
#define MUST(condition, ...)                                                                                           \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg(__VA_ARGS__);                                                                                 \
    } while (0)

struct answer {
    enum pps_verdict verdict;
    size_t need;
    enum pps_reason reason;
    struct pps_header header;
};

/* Of bytes that stand where the caller put them. Fails the test unless errno and every output the verdict does not name
   are untouched, need is more than `size`, and a header is no longer than `size`. */
struct answer judge_here(const uint8_t *bytes, size_t size);

/* Of a copy that ends at the guard page. */
struct answer judge(const void *bytes, size_t size);

/* Fails the test unless both headers say the same, wherever their bytes stand. */
void same_header(const struct pps_header *a, const struct pps_header *b);

#endif
