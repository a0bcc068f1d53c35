/* SPDX-License-Identifier: MIT
 *
 * text.h: a piece of what an operator wrote, and the words of a list in it: separated by commas or white space.
 *
 * Pure: any thread, any signal handler.
 */
#ifndef PPSHIM_TEXT_H
#define PPSHIM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct pps_text {
    const char *at; /* no NUL need be behind it */
    size_t length;
};

static inline struct pps_text pps_text_of(const char *text)
{
    return (struct pps_text){text, strlen(text)};
}

static inline bool pps_text_begins(struct pps_text t, const char *with)
{
    return t.length >= strlen(with) && memcmp(t.at, with, strlen(with)) == 0;
}

static inline bool pps_text_is(struct pps_text t, const char *text)
{
    return t.length == strlen(text) && pps_text_begins(t, text);
}

static inline bool pps_text_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits without a leading zero, at most `most`. Returns the byte after them, NULL if that is no such number. */
static inline const char *pps_text_number(const char *at, unsigned long most, unsigned long *n)
{
    const char *start = at;
    for (*n = 0; pps_text_is_digit(*at); at++) {
        *n = *n * 10 + (unsigned long)(*at - '0');
        if (*n > most)
            return NULL;
    }
    return at == start || (at - start > 1 && *start == '0') ? NULL : at;
}

static inline size_t pps_text_span(struct pps_text t, bool separators)
{
    size_t n = 0;
    while (n < t.length && separators == (t.at[n] == ',' || t.at[n] == ' ' || (t.at[n] >= '\t' && t.at[n] <= '\r')))
        n++;
    return n;
}

/* Takes the next word off *rest; false when none is left. */
static inline bool pps_text_next(struct pps_text *rest, struct pps_text *word)
{
    size_t skipped = pps_text_span(*rest, true);
    word->at = rest->at + skipped;
    word->length = rest->length - skipped;
    word->length = pps_text_span(*word, false);
    *rest = (struct pps_text){word->at + word->length, rest->length - skipped - word->length};
    return word->length;
}

#endif
