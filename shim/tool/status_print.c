/* SPDX-License-Identifier: MIT
 *
 * status_print.c: counters as a table for people (status.h). What is nothing is left out.
 */
#include "options.h"
#include "status.h"
#include <inttypes.h>
#include <langinfo.h>
#include <string.h>

#define BAR 20

void status_put_text(FILE *to, const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            fprintf(to, "\\x%02x", (unsigned char)*text);
        else
            putc(*text, to);
    }
}

bool status_has_blocks(FILE *to)
{
    return tool_has_colour(to) && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static void print_head(FILE *to, const struct status_group *g)
{
    fputs(tool_bold(to), to);
    status_put_text(to, *g->unit ? g->unit : g->program);
    fputs(tool_plain(to), to);
    if (*g->unit) {
        putc(' ', to);
        status_put_text(to, g->program);
    }
    fputs(", listener ", to);
    status_put_text(to, g->listener);
    fputs(", user ", to);
    status_put_text(to, g->user);
    fprintf(to, ": %u process%s", g->alive, g->alive == 1 ? "" : "es");
    if (g->alive == 1)
        fprintf(to, " (%d)", (int)g->pids[0]);
    if (g->ended)
        fprintf(to, ", %u ended", g->ended);
    putc('\n', to);
}

static uint64_t all_of(const struct status_group *g, enum status_metric metric)
{
    uint64_t sum = 0;
    for (int i = -1; (i = status_next(metric, i)) >= 0;)
        sum += g->counters[i];
    return sum;
}

static void print_bar(FILE *to, uint64_t part, uint64_t whole)
{
    if (!whole)
        return;
    int length = (int)((part * BAR + whole - 1) / whole);
    fprintf(to, "  %5.1f %% ", 100.0 * (double)part / (double)whole);
    for (int i = 0; i < length; i++)
        fputs(status_has_blocks(to) ? "█" : "#", to);
}

/* "rejected timeout", "header wait seconds <= 0.5" */
static void name_row(int i, char out[96])
{
    char values[64];
    const struct status_row *row = &status_rows[i];
    const struct status_metric_row *metric = &status_metrics[row->metric];
    status_label_values(row->labels, values);
    snprintf(out, 96, "%s%s%s", metric->name, metric->type == STATUS_HISTOGRAM ? " <= " : *values ? " " : "", values);
    for (char *c = out; (c = strchr(c, '_'));)
        *c = ' ';
}

static void print_row(FILE *to, int i, const struct status_group *g, const struct status_group *before, double seconds)
{
    char name[96];
    const struct status_row *row = &status_rows[i];
    name_row(i, name);
    fprintf(to, "  %-32s %14" PRIu64, name, g->counters[i]);
    if (before && status_metrics[row->metric].type != STATUS_GAUGE)
        fprintf(to, " %10.1f/s", (double)(g->counters[i] - before->counters[i]) / seconds);
    if (row->metric == STATUS_REJECTED_METRIC)
        print_bar(to, g->counters[i], all_of(g, STATUS_REJECTED_METRIC));
    putc('\n', to);
}

void status_print_group(FILE *to, const struct status_group *g, const struct status_group *before, double seconds)
{
    print_head(to, g);
    for (enum status_metric metric = 0; metric < STATUS_METRICS; metric++)
        for (int i = -1; (i = status_next(metric, i)) >= 0;)
            if (g->counters[i] || i == PPS_STAT_CONNECTIONS)
                print_row(to, i, g, before, seconds);
}
