/* SPDX-License-Identifier: MIT
 *
 * status_watch.c: counters once a second, with rates and how many connections came in the last minute (status.h). On a
 * terminal they stand still; elsewhere one table follows the other.
 */
#include "status.h"
#include "tool.h"
#include <locale.h>
#include <ppshim/deadline.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 60

/* New connections of a group, the youngest last. */
struct history {
    struct status_group group; /* whose: its names alone */
    uint64_t each[SECONDS];
    unsigned count;
};

static struct history *histories;
static size_t history_count;

static bool is_same(const struct status_group *a, const struct status_group *b)
{
    return strcmp(a->program, b->program) == 0 && strcmp(a->unit, b->unit) == 0 && strcmp(a->user, b->user) == 0 &&
           strcmp(a->listener, b->listener) == 0;
}

static struct history *history_of(const struct status_group *g)
{
    for (size_t i = 0; i < history_count; i++)
        if (is_same(&histories[i].group, g))
            return &histories[i];
    histories = tool_or_abort(realloc(histories, (history_count + 1) * sizeof *histories));
    histories[history_count] = (struct history){.group = *g};
    return &histories[history_count++];
}

static void remember(struct history *h, uint64_t connections)
{
    if (h->count == SECONDS)
        memmove(h->each, h->each + 1, sizeof h->each - sizeof *h->each);
    else
        h->count++;
    h->each[h->count - 1] = connections;
}

static void print_history(const struct history *h)
{
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, *const letters[] = {"_", ".", ":",
                                                                                                      "-", "=", "+",
                                                                                                      "*", "#"};
    const char *const *signs = status_has_blocks(stdout) ? blocks : letters;
    uint64_t most = 1;
    for (unsigned i = 0; i < h->count; i++)
        most = h->each[i] > most ? h->each[i] : most;
    printf("  %-32s ", "new connections");
    for (unsigned i = 0; i < h->count; i++)
        fputs(signs[h->each[i] * 7 / most], stdout);
    printf(" %llu/s at most\n", (unsigned long long)most);
}

static const struct status_group *find(const struct status *s, const struct status_group *g)
{
    for (size_t i = 0; i < s->count; i++)
        if (is_same(&s->groups[i], g))
            return &s->groups[i];
    return NULL;
}

static void print_one(const struct status_group *g, const struct status *before, double seconds)
{
    const struct status_group *was = find(before, g);
    status_print_group(stdout, g, was, seconds);
    if (was) {
        struct history *h = history_of(g);
        remember(h, g->counters[PPS_STAT_CONNECTIONS] - was->counters[PPS_STAT_CONNECTIONS]);
        print_history(h);
    }
    putchar('\n');
}

/* false: stdout is gone. */
static bool print_all(const struct status *s, const struct status *before, double seconds)
{
    if (isatty(STDOUT_FILENO))
        fputs("\033[H\033[2J", stdout);
    if (!s->count)
        printf("nothing was counted in %s yet\n", s->directory);
    for (size_t i = 0; i < s->count; i++)
        print_one(&s->groups[i], before, seconds);
    return fflush(stdout) == 0;
}

int status_watch(const char *directory, const struct status_wanted *wanted)
{
    struct status now, before = {0};
    char error[512];
    uint64_t last = 0;
    setlocale(LC_CTYPE, "");
    for (;;) {
        if (!status_read(directory, wanted, false, &now, error))
            return tool_fail(TOOL_NO, "status", "%s", error);
        uint64_t time = pps_now();
        bool good = print_all(&now, &before, (double)(time - last) / 1e9);
        status_free(&before);
        before = now;
        last = time;
        if (!good)
            return TOOL_OK;
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
}
