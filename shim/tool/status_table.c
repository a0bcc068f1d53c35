/* SPDX-License-Identifier: MIT
 *
 * status_table.c: the tables of <ppshim/stats.h> as the tool needs them (status.h).
 */
#include "status.h"
#include <string.h>

const struct status_metric_row status_metrics[STATUS_METRICS] = {
#define X(constant, name, type, unit, help) {name, STATUS_##type, unit, help},
    PPS_STATS_METRICS(X)
#undef X
};

const struct status_row status_rows[PPS_STAT_COUNT] = {
#define X(constant, key, metric, labels) {key, STATUS_##metric##_METRIC, labels},
    PPS_STATS(X)
#undef X
#define X(le, nanoseconds) {"wait." le, STATUS_WAIT_METRIC, "le=\"" le "\""},
        PPS_STATS_WAITS(X)
#undef X
#define X(name, word, meaning) {"rejected." word, STATUS_REJECTED_METRIC, "reason=\"" word "\""},
            PPS_REASONS(X)
#undef X
};

const char *status_label_values(const char *labels, char out[64])
{
    size_t n = 0;
    bool inside = false;
    for (; *labels && n < 62; labels++) {
        if (*labels == '"' && !inside && n)
            out[n++] = ' ';
        if (*labels == '"')
            inside = !inside;
        else if (inside)
            out[n++] = *labels;
    }
    out[n] = 0;
    return out;
}

int status_next(enum status_metric metric, int after)
{
    for (int i = after + 1; i < PPS_STAT_COUNT; i++)
        if (status_rows[i].metric == metric && i != PPS_STAT_WAIT_SUM && i != PPS_STAT_REJECTED + PPS_REASON_NONE)
            return i;
    return -1;
}
