/* SPDX-License-Identifier: MIT
 *
 * status_export.c: counters for programs: OpenMetrics 1.0 text, and JSON (status.h).
 */
#include "json.h"
#include "status.h"
#include <inttypes.h>
#include <string.h>

/* --- OpenMetrics --- */

static const char *const types[] = {
    [STATUS_COUNTER] = "counter", [STATUS_GAUGE] = "gauge", [STATUS_HISTOGRAM] = "histogram"};

/* As the format escapes it; and ASCII only, so that it is UTF-8. */
static void put_value(FILE *to, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < ' ' || c >= 0x7f)
            fprintf(to, "\\\\x%02x", c);
        else
            fprintf(to, "%s%c", c == '"' || c == '\\' ? "\\" : "", c);
    }
}

static void put_label(FILE *to, const char *name, const char *value)
{
    fprintf(to, "%s=\"", name);
    put_value(to, value);
    putc('"', to);
}

/* `labels` come behind those of the group. */
static void put_sample(FILE *to, const struct status_metric_row *metric, const char *suffix,
                       const struct status_group *g, const char *labels)
{
    fprintf(to, "ppshim_%s%s{", metric->name, suffix);
    put_label(to, "unit", g->unit);
    put_label(to, ",program", g->program);
    put_label(to, ",user", g->user);
    put_label(to, ",listener", g->listener);
    fprintf(to, "%s%s} ", *labels ? "," : "", labels);
}

static void put_histogram(FILE *to, const struct status_metric_row *metric, const struct status_group *g)
{
    uint64_t up_to = 0, sum = g->counters[PPS_STAT_WAIT_SUM];
    for (int i = -1; (i = status_next(STATUS_WAIT_METRIC, i)) >= 0;) {
        up_to += g->counters[i];
        put_sample(to, metric, "_bucket", g, status_rows[i].labels);
        fprintf(to, "%" PRIu64 "\n", up_to);
    }
    put_sample(to, metric, "_count", g, "");
    fprintf(to, "%" PRIu64 "\n", up_to);
    put_sample(to, metric, "_sum", g, "");
    fprintf(to, "%" PRIu64 ".%09" PRIu64 "\n", sum / 1000000000, sum % 1000000000);
}

static void put_counters(FILE *to, enum status_metric which, const struct status_group *g)
{
    const struct status_metric_row *metric = &status_metrics[which];
    for (int i = -1; (i = status_next(which, i)) >= 0;) {
        put_sample(to, metric, metric->type == STATUS_COUNTER ? "_total" : "", g, status_rows[i].labels);
        fprintf(to, "%" PRIu64 "\n", g->counters[i]);
    }
}

static void put_group(FILE *to, enum status_metric which, const struct status_group *g)
{
    const struct status_metric_row *metric = &status_metrics[which];
    if (which == STATUS_PROCESSES_METRIC) {
        put_sample(to, metric, "", g, "");
        fprintf(to, "%u\n", g->alive);
    } else if (which == STATUS_ENDED_METRIC) {
        put_sample(to, metric, "_total", g, "");
        fprintf(to, "%u\n", g->ended);
    } else if (metric->type == STATUS_HISTOGRAM) {
        put_histogram(to, metric, g);
    } else {
        put_counters(to, which, g);
    }
}

void status_print_openmetrics(FILE *to, const struct status *s)
{
    for (enum status_metric which = 0; which < STATUS_METRICS; which++) {
        const struct status_metric_row *metric = &status_metrics[which];
        fprintf(to, "# TYPE ppshim_%s %s\n", metric->name, types[metric->type]);
        if (*metric->unit)
            fprintf(to, "# UNIT ppshim_%s %s\n", metric->name, metric->unit);
        fprintf(to, "# HELP ppshim_%s %s.\n", metric->name, metric->help);
        for (size_t i = 0; i < s->count; i++)
            put_group(to, which, &s->groups[i]);
    }
    fputs("# EOF\n", to);
}

/* --- JSON --- */

static void put_field(FILE *to, const char *name, const char *value)
{
    fprintf(to, "\"%s\": ", name);
    tool_json_put(to, value);
    fputs(", ", to);
}

/* The counters by their keys in the file. */
static void put_json_group(FILE *to, const struct status_group *g)
{
    putc('{', to);
    put_field(to, "unit", g->unit);
    put_field(to, "program", g->program);
    put_field(to, "user", g->user);
    put_field(to, "listener", g->listener);
    fputs("\"processes\": [", to);
    for (unsigned i = 0; i < g->alive; i++)
        fprintf(to, "%s%d", i ? ", " : "", (int)g->pids[i]);
    fprintf(to, "], \"ended\": %u, \"counters\": {", g->ended);
    for (int i = 0; i < PPS_STAT_COUNT; i++)
        if (i != PPS_STAT_REJECTED + PPS_REASON_NONE)
            fprintf(to, "%s\"%s\": %" PRIu64, i ? ", " : "", status_rows[i].key, g->counters[i]);
    fputs("}}", to);
}

void status_print_json(FILE *to, const struct status *s)
{
    putc('{', to);
    put_field(to, "directory", s->directory);
    fputs("\"groups\": [", to);
    for (size_t i = 0; i < s->count; i++) {
        fputs(i ? ", " : "", to);
        put_json_group(to, &s->groups[i]);
    }
    fputs("]}\n", to);
}
