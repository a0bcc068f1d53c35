/* SPDX-License-Identifier: MIT
 *
 * limit_text.c: what an operator writes of limits (limit.h).
 */
#include "text.h"
#include <ppshim/cidr.h>
#include <ppshim/limit.h>
#include <stdarg.h>
#include <stdio.h>

#define RATE_MAX 100000
#define OPEN_MAX 10000
#define WINDOW_MIN 100
#define WINDOW_MAX (24 * 3600 * 1000)
#define SHOWN 64

struct reading {
    const char *example;
    struct pps_text rest;
    struct pps_limit *out;
    char *why;
    size_t size;
};

/* Always false. */
__attribute__((format(printf, 2, 3))) static bool refuse(const struct reading *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->why, r->size, format, args);
    va_end(args);
    return false;
}

static bool refuse_word(const struct reading *r, struct pps_text w, const char *what)
{
    char shown[SHOWN];
    return refuse(r, "%s: %s: write %s", pps_cidr_quote(shown, sizeof shown, w.at, w.length), what, r->example);
}

/* --- how many, and in what time --- */

/* "10s" in milliseconds. Too much for a number is as long as too long. */
static bool read_window(const struct reading *r, struct pps_text w)
{
    static const struct {
        const char *name;
        unsigned long ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    unsigned long n, ms = 0;
    const char *end = pps_text_number(w.at, WINDOW_MAX, &n);
    struct pps_text unit = {end, end ? w.length - (size_t)(end - w.at) : 0};
    if (end && !unit.length)
        return refuse(r, "a bare number has no unit: write %u/%lus", r->out->count, n ? n : 10);
    for (int i = 0; end && i < 4; i++)
        if (pps_text_is(unit, units[i].name))
            ms = units[i].ms;
    if (!ms)
        return refuse_word(r, w, "not a time, which is a number with ms, s, m or h behind it");
    if (n * ms < WINDOW_MIN)
        return refuse_word(r, w, "too short, 100ms is the least");
    if (n > WINDOW_MAX / ms)
        return refuse_word(r, w, "too long, 24h is the most");
    r->out->window = (uint64_t)n * ms * 1000000;
    return true;
}

static bool read_count(const struct reading *r, struct pps_text w, unsigned most, const char **end)
{
    unsigned long n;
    *end = pps_text_number(w.at, most, &n);
    if (!*end && pps_text_is_digit(*w.at) && *w.at != '0')
        return refuse(r, "too many: %u is the most", most);
    if (!*end)
        return refuse_word(r, w, "not a number of connections");
    if (!n)
        return refuse(r, "nobody would ever get in: write 1 or more");
    r->out->count = (unsigned)n;
    return true;
}

static bool read_rate(const struct reading *r, struct pps_text w)
{
    const char *end;
    if (!read_count(r, w, RATE_MAX, &end))
        return false;
    if (end == w.at + w.length)
        return refuse(r, "a rate needs a time: write %u/10s", r->out->count);
    if (*end != '/')
        return refuse_word(r, w, "not a rate");
    return read_window(r, (struct pps_text){end + 1, (size_t)(w.at + w.length - end - 1)});
}

static bool read_max(const struct reading *r, struct pps_text w)
{
    const char *end;
    return read_count(r, w, OPEN_MAX, &end) && (end == w.at + w.length || refuse_word(r, w, "not a number"));
}

/* --- what is one client, and the dry run --- */

/* 0: that is no prefix. */
static unsigned prefix_of(struct pps_text w)
{
    unsigned long n = 0;
    const char *end = *w.at == '/' ? pps_text_number(w.at + 1, 128, &n) : NULL;
    return end == w.at + w.length ? (unsigned)n : 0;
}

static bool is_prefix(struct pps_text rest, struct pps_text *w)
{
    return pps_text_next(&rest, w) && *w->at == '/';
}

/* IPv4's, IPv6's, or both in this order. */
static bool read_prefixes(struct reading *r)
{
    struct pps_text first, second;
    if (!is_prefix(r->rest, &first))
        return refuse(r, "no prefix behind per: write %s", r->example);
    pps_text_next(&r->rest, &first);
    bool both = is_prefix(r->rest, &second);
    if (both)
        pps_text_next(&r->rest, &second);
    unsigned a = prefix_of(first), b = both ? prefix_of(second) : 0;
    if (!a || (both && !b))
        return refuse_word(r, a ? second : first, "not a prefix, which is /1 to /32 for IPv4, /1 to /128 for IPv6");
    if (both && a > 32)
        return refuse_word(r, first, "longer than an IPv4 address, and IPv4's prefix comes first");
    if (a <= 32)
        r->out->prefix4 = (uint8_t)a;
    if (both || a > 32)
        r->out->prefix6 = (uint8_t)(both ? b : a);
    return true;
}

static bool read_rest(struct reading *r)
{
    struct pps_text w;
    while (pps_text_next(&r->rest, &w)) {
        if (pps_text_is(w, "dry-run") && !r->out->dry_run)
            r->out->dry_run = true;
        else if (!pps_text_is(w, "per") || r->out->dry_run || r->out->prefix4 || r->out->prefix6)
            return refuse_word(r, w, "one word too many");
        else if (!read_prefixes(r))
            return false;
    }
    return true;
}

static bool read_limit(struct reading *r, const char *text, bool (*read_first)(const struct reading *, struct pps_text))
{
    struct pps_text w;
    r->rest = pps_text_of(text);
    *r->out = (struct pps_limit){0};
    if (!pps_text_next(&r->rest, &w))
        return refuse(r, "nothing in it: write %s", r->example);
    if (!read_first(r, w) || !read_rest(r))
        return false;
    r->out->prefix4 = r->out->prefix4 ? r->out->prefix4 : 32;
    r->out->prefix6 = r->out->prefix6 ? r->out->prefix6 : 128;
    return true;
}

bool pps_limit_read_rate(const char *text, struct pps_limit *out, char *why, size_t size)
{
    struct reading r = {"20/10s, or 20/10s per /24,/56, dry-run", {0}, out, why, size};
    return read_limit(&r, text, read_rate);
}

bool pps_limit_read_max(const char *text, struct pps_limit *out, char *why, size_t size)
{
    struct reading r = {"50, or 50 per /24,/56, dry-run", {0}, out, why, size};
    return read_limit(&r, text, read_max);
}
