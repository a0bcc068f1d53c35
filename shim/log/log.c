/* SPDX-License-Identifier: MIT
 *
 * log.c: which lines go out (log.h): the level, and how many a second.
 */
#include "sink.h"
#include <ppshim/log.h>
#include <ppshim/quiet.h>
#include <stdatomic.h>
#include <time.h>

#define LINES_A_SECOND 10

static enum pps_log_level threshold = PPS_LOG_NOTICE;
static const struct pps_config *settings;

static uint64_t now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec;
}

/* Lines of one second: second << 24 | lines asked for in it. What an operator must know has an allowance of its own,
   that one line for each connection cannot use up. */
static _Atomic uint64_t important, chatter;

/* *left_out: lines lost in the second that just ended. */
static bool within_limit(_Atomic uint64_t *window, unsigned *left_out)
{
    uint64_t now = now_seconds(), old = atomic_load(window), new;
    do {
        unsigned lines = old & 0xffffff;
        bool same = old >> 24 == now;
        *left_out = !same && lines > LINES_A_SECOND ? lines - LINES_A_SECOND : 0;
        if (same && lines == 0xffffff)
            return false;
        new = same ? old + 1 : (now << 24 | 1);
    } while (!atomic_compare_exchange_weak(window, &old, new));
    return (new & 0xffffff) <= LINES_A_SECOND;
}

void pps_log_start(const struct pps_config *config, const char *journal_stream)
{
    pps_sink_start(config, journal_stream);
    settings = config;
    if (config)
        threshold = config->log_level;
}

bool pps_log_wants(enum pps_log_level level)
{
    return level <= threshold;
}

bool pps_log_wants_tlv(uint8_t type)
{
    return settings && pps_config_logs_tlv(settings, type);
}

static void tell_left_out(unsigned lines)
{
    struct pps_line l;
    pps_line_begin(&l, "left-out");
    pps_line_number(&l, "lines", lines);
    pps_line_end(&l);
    pps_sink_write(PPS_LOG_NOTICE, &l);
}

void pps_log(enum pps_log_level level, struct pps_line *l)
{
    unsigned left_out;
    if (!pps_log_wants(level))
        return;
    bool within = within_limit(level <= PPS_LOG_NOTICE ? &important : &chatter, &left_out);
    if (left_out)
        tell_left_out(left_out);
    if (!within)
        return;
    int cancel_state = pps_cancel_off(); /* a file is open for a moment */
    pps_line_end(l);
    pps_sink_write(level, l);
    pps_cancel_set(cancel_state);
}

void pps_log_last(struct pps_line *l)
{
    pps_line_end(l);
    pps_sink_write_last(l);
}

void pps_log_last_words(const char *text)
{
    struct pps_line l;
    pps_line_begin(&l, "error: ");
    pps_line_text(&l, text);
    pps_log_last(&l);
}
