/* SPDX-License-Identifier: MIT
 *
 * fuzz_log.c: any bytes of a peer's in a log line: it stays one line of printable words, and each value one word.
 */
#include "promise.h"
#include <ppshim/line.h>

static void is_a_line(const struct pps_line *l)
{
    PROMISE(l->length > 0 && l->length < sizeof l->text && l->text[l->length - 1] == '\n');
    for (size_t i = 0; i + 1 < l->length; i++)
        PROMISE(l->text[i] >= ' ' && l->text[i] < 0x7f && l->text[i] != '"' && l->text[i] != '\'');
}

static size_t words(const struct pps_line *l)
{
    size_t count = 1;
    for (size_t i = 0; i < l->length; i++)
        count += l->text[i] == ' ';
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pps_line l;
    size_t cut = size > 0 ? data[0] % size : 0, said;
    uint8_t *bytes = exactly(data, size);
    pps_line_begin(&l, "accept");
    pps_line_foreign(&l, "sni", bytes, cut);
    pps_line_foreign(&l, "id", bytes + cut, size - cut);
    PROMISE(words(&l) == 4); /* ppshim[1]: accept sni= id= */
    said = l.length;
    for (size_t left = size % 16; left > 0; left--) /* and when there is no room for all of them */
        pps_line_foreign(&l, "more", bytes, size);
    PROMISE(l.length >= said);
    pps_line_end(&l);
    is_a_line(&l);
    free(bytes);
    return 0;
}
