/* SPDX-License-Identifier: MIT
 *
 * vectors.c: the named headers of tests/unit/vectors.h as lines for Python: name, verdict, decided, reason, client,
 * hex.
 */
#include <stdio.h>
#include <unit/vectors.h>

int main(void)
{
    for (size_t i = 0; i < vector_count; i++) {
        const struct vector *v = &vectors[i];
        printf("%s %s %zu %s %s ", v->name, v->verdict == PPS_HEADER_COMPLETE ? "valid" : "invalid", v->decided,
               pps_reason_word(v->reason), v->src ? v->src : "-");
        for (size_t b = 0; b < v->size; b++)
            printf("%02x", v->bytes[b]);
        putchar('\n');
    }
    return 0;
}
