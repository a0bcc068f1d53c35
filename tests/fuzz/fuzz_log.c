/* SPDX-License-Identifier: MIT
 *
 * fuzz_log.c: any bytes of a peer's in a log line: it stays one line of printable words, and each value one word, there
 * whole or counted as left out; and the same as the journal's datagram.
 */
#include "promise.h"
#include <log/journald.h>
#include <ppshim/line.h>

static void is_a_line(const struct pps_line *l)
{
    PROMISE(l->length > 0 && l->length < sizeof l->text && l->text[l->length - 1] == '\n');
    for (size_t i = 0; i + 1 < l->length; i++)
        PROMISE(l->text[i] >= ' ' && l->text[i] < 0x7f && l->text[i] != '"' && l->text[i] != '\'');
}

/* As the journal reads it: one NAME=value a line, and no line but ours. */
static void is_a_datagram(const struct pps_line *l)
{
    struct pps_journald d;
    size_t lines = 0;
    pps_journald_from(&d, PPS_LOG_INFO, l);
    PROMISE(d.length > 0 && d.length <= sizeof d.bytes && d.bytes[d.length - 1] == '\n');
    for (size_t at = 0; at < d.length; lines++) {
        const char *end = memchr(d.bytes + at, '\n', d.length - at), *equals = memchr(d.bytes + at, '=', d.length - at);
        PROMISE(end && equals && equals < end && d.bytes[at] >= 'A' && d.bytes[at] <= 'Z');
        at = (size_t)(end - d.bytes) + 1;
    }
    PROMISE(lines == 4 + l->count); /* whose it is, priority, message, event */
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
    PROMISE(l.count + l.cut == 2 && words(&l) == 2 + l.count); /* ppshim[1]: accept sni= id= */
    said = l.length;
    for (size_t left = size % 16; left > 0; left--) /* and when there is no room for all of them */
        pps_line_foreign(&l, "more", bytes, size);
    PROMISE(l.length >= said);
    pps_line_end(&l);
    is_a_line(&l);
    is_a_datagram(&l);
    free(bytes);
    return 0;
}
