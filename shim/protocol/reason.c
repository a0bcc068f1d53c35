/* SPDX-License-Identifier: MIT
 *
 * reason.c: the text behind reason.h's table, and nothing else.
 */
#include <ppshim/reason.h>

static const struct {
    const char *word, *meaning;
} reasons[PPS_REASON_COUNT] = {
#define X(name, word, meaning) [PPS_REASON_##name] = {word, meaning},
    PPS_REASONS(X)
#undef X
};

/* A value that is no reason can only come from a bug; the log line that shows it must still be written. */
const char *pps_reason_word(enum pps_reason r)
{
    return (unsigned)r < PPS_REASON_COUNT ? reasons[r].word : "unknown";
}

const char *pps_reason_meaning(enum pps_reason r)
{
    return (unsigned)r < PPS_REASON_COUNT ? reasons[r].meaning : "no reason of the table";
}
