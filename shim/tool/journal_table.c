/* SPDX-License-Identifier: MIT
 *
 * journal_table.c: see journal_table.h. Open addressing; who leaves is replaced by who came to lie behind him.
 */
#include "journal_table.h"
#include "tool.h"
#include <stdlib.h>

#define SIZE_MIN 64

static size_t home_of(const struct tool_table *t, uint64_t key)
{
    return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (t->size - 1);
}

/* Where it is, or would be. */
static size_t place_of(const struct tool_table *t, uint64_t key)
{
    size_t i = home_of(t, key);
    while (t->places[i].thing && t->places[i].key != key)
        i = (i + 1) & (t->size - 1);
    return i;
}

void *tool_table_find(const struct tool_table *t, uint64_t key)
{
    return t->size ? t->places[place_of(t, key)].thing : NULL;
}

static void resize(struct tool_table *t, size_t size)
{
    struct tool_table old = *t;
    t->places = tool_or_abort(calloc(size, sizeof *t->places));
    t->size = size;
    for (size_t i = 0; i < old.size; i++)
        if (old.places[i].thing)
            t->places[place_of(t, old.places[i].key)] = old.places[i];
    free(old.places);
}

void tool_table_add(struct tool_table *t, uint64_t key, void *thing)
{
    if (t->used >= t->size / 2)
        resize(t, t->size ? 2 * t->size : SIZE_MIN);
    t->places[place_of(t, key)] = (struct tool_table_place){key, thing};
    t->used++;
}

/* Whoever lies behind an empty place before which he belongs would not be found any more: he moves into it. */
static void close_gap(struct tool_table *t, size_t gap)
{
    size_t mask = t->size - 1;
    for (size_t i = (gap + 1) & mask; t->places[i].thing; i = (i + 1) & mask) {
        size_t home = home_of(t, t->places[i].key);
        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        t->places[gap] = t->places[i];
        t->places[i].thing = NULL;
        gap = i;
    }
}

void *tool_table_remove(struct tool_table *t, uint64_t key)
{
    size_t i = t->size ? place_of(t, key) : 0;
    void *thing = t->size ? t->places[i].thing : NULL;
    if (!thing)
        return NULL;
    t->places[i].thing = NULL;
    t->used--;
    close_gap(t, i);
    return thing;
}

void tool_table_filter(struct tool_table *t, bool (*keep)(uint64_t key, void *thing, void *arg), void *arg)
{
    for (size_t i = 0; i < t->size; i++)
        if (t->places[i].thing && !keep(t->places[i].key, t->places[i].thing, arg)) {
            t->places[i].thing = NULL;
            t->used--;
        }
    if (t->size)
        resize(t, t->size);
}
