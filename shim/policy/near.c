/* SPDX-License-Identifier: MIT
 *
 * near.c: see near.h.
 */
#include "near.h"

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned pps_near_distance(struct pps_text a, const char *b)
{
    unsigned row[64];
    size_t columns = a.length < 63 ? a.length : 63;
    for (unsigned i = 0; i <= columns; i++)
        row[i] = i;
    for (; *b; b++) {
        unsigned diagonal = row[0]++;
        for (size_t i = 1; i <= columns; i++) {
            unsigned changed = diagonal + (upper(a.at[i - 1]) != upper(*b));
            diagonal = row[i];
            row[i] = least(changed, least(row[i], row[i - 1]) + 1);
        }
    }
    return row[columns];
}
