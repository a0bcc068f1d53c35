/* SPDX-License-Identifier: MIT
 *
 * promise.h: what the fuzzers share. A broken promise aborts.
 */
#ifndef PPSHIM_FUZZ_PROMISE_H
#define PPSHIM_FUZZ_PROMISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PROMISE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An allocation of exactly these bytes, so that AddressSanitizer sees one read too far. The caller frees it. */
static inline void *exactly(const uint8_t *data, size_t size)
{
    void *copy = malloc(size);
    PROMISE(copy || size == 0);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* The same as text, a NUL behind it. */
static inline char *text_of(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);
    PROMISE(copy);
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = 0;
    return copy;
}

/* What is written for people: one line, nothing that a terminal would obey. */
static inline bool is_one_line(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    return *text;
}

#endif
