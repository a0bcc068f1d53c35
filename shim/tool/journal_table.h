/* SPDX-License-Identifier: MIT
 *
 * journal_table.h: things by a number of 64 bits: connections by their cookie, processes by theirs.
 */
#ifndef PPSHIM_JOURNAL_TABLE_H
#define PPSHIM_JOURNAL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tool_table {
    struct tool_table_place {
        uint64_t key;
        void *thing; /* NULL: nothing was ever here */
    } * places;
    size_t size, used; /* size: a power of two; used: places that are not empty */
};

/* NULL: it is not there. */
void *tool_table_find(const struct tool_table *t, uint64_t key);
/* It is not there yet. */
void tool_table_add(struct tool_table *t, uint64_t key, void *thing);
/* What was there, or NULL. */
void *tool_table_remove(struct tool_table *t, uint64_t key);

/* Each thing: `keep` false: it is taken out. Nothing else may change the table meanwhile. */
void tool_table_filter(struct tool_table *t, bool (*keep)(uint64_t key, void *thing, void *arg), void *arg);

#endif
