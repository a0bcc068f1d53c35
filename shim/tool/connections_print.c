/* SPDX-License-Identifier: MIT
 *
 * connections_print.c: open connections as a table and as JSON (connections_print.h).
 */
#include "connections_print.h"
#include "json.h"
#include "options.h"
#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { CLIENT, PEER, SINCE, BYTES_IN, BYTES_OUT, RTT, PID, PROGRAM, COLUMNS };

struct row {
    char cell[COLUMNS][PPS_ADDR_TEXT];
};

static const char *const headings[COLUMNS] = {"CLIENT", "PEER", "SINCE", "IN", "OUT", "RTT", "PID", "PROGRAM"};
static const bool to_the_right[COLUMNS] = {[BYTES_IN] = true, [BYTES_OUT] = true, [RTT] = true, [PID] = true};

/* "812", "4.1k", "37M": of bytes, by thousands. */
static void print_bytes(char out[PPS_ADDR_TEXT], uint64_t n)
{
    static const char units[] = "kMGTPE";
    double value = (double)n;
    int unit = -1;
    while (value >= 999.5) {
        value /= 1000;
        unit++;
    }
    if (unit < 0)
        snprintf(out, PPS_ADDR_TEXT, "%" PRIu64, n);
    else
        snprintf(out, PPS_ADDR_TEXT, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

static void print_rtt(char out[PPS_ADDR_TEXT], uint32_t us)
{
    if (us < 10000)
        snprintf(out, PPS_ADDR_TEXT, "%u.%02ums", us / 1000, us % 1000 / 10);
    else
        snprintf(out, PPS_ADDR_TEXT, "%ums", us / 1000);
}

/* The time of day, and the day if it is another one. */
static void print_since(char out[PPS_ADDR_TEXT], uint32_t since)
{
    time_t then = since, now = time(NULL);
    struct tm t, today;
    if (!localtime_r(&then, &t) || !localtime_r(&now, &today))
        return;
    bool same_day = t.tm_year == today.tm_year && t.tm_yday == today.tm_yday;
    strftime(out, PPS_ADDR_TEXT, same_day ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &t);
}

static void make_row(struct row *r, const struct tool_connection *c)
{
    *r = (struct row){.cell = {[CLIENT] = "-"}};
    if (c->client.has_addr)
        pps_addr_text(&c->client.addr, r->cell[CLIENT]);
    pps_addr_text(&c->peer, r->cell[PEER]);
    print_since(r->cell[SINCE], c->client.since);
    print_bytes(r->cell[BYTES_IN], c->bytes_in);
    print_bytes(r->cell[BYTES_OUT], c->bytes_out);
    print_rtt(r->cell[RTT], c->rtt_us);
    snprintf(r->cell[PID], PPS_ADDR_TEXT, "%d", (int)c->pid);
    snprintf(r->cell[PROGRAM], PPS_ADDR_TEXT, "%s", c->program);
}

static void widen(int widths[COLUMNS], const struct row *r)
{
    for (int i = 0; i < COLUMNS; i++)
        if ((int)strlen(r->cell[i]) > widths[i])
            widths[i] = (int)strlen(r->cell[i]);
}

static void print_row(const int widths[COLUMNS], const struct row *r)
{
    for (int i = 0; i < COLUMNS; i++)
        if (i == COLUMNS - 1)
            printf("%s\n", r->cell[i]);
        else
            printf(to_the_right[i] ? "%*s  " : "%-*s  ", widths[i], r->cell[i]);
}

void tool_connections_print(const struct tool_connections *c)
{
    struct row row, heading;
    int widths[COLUMNS] = {0};
    for (int i = 0; i < COLUMNS; i++)
        snprintf(heading.cell[i], PPS_ADDR_TEXT, "%s", headings[i]);
    widen(widths, &heading);
    for (size_t i = 0; i < c->count; i++) {
        make_row(&row, &c->list[i]);
        widen(widths, &row);
    }
    fputs(tool_bold(stdout), stdout);
    print_row(widths, &heading);
    fputs(tool_plain(stdout), stdout);
    for (size_t i = 0; i < c->count; i++) {
        make_row(&row, &c->list[i]);
        print_row(widths, &row);
    }
}

void tool_connection_json(FILE *to, const struct tool_connection *c)
{
    fputs("{", to);
    if (c->client.has_addr) {
        tool_json_address(to, "client", &c->client.addr);
        fputs(", ", to);
    }
    tool_json_address(to, "peer", &c->peer);
    fputs(", ", to);
    tool_json_address(to, "local", &c->local);
    fputs(", ", to);
    tool_json_time(to, "since", c->client.since * UINT64_C(1000000000));
    fprintf(to,
            ", \"id\": %" PRIu64 ", \"bytes_in\": %" PRIu64 ", \"bytes_out\": %" PRIu64
            ", \"rtt_us\": %u, \"pid\": %d, \"holders\": %zu, \"program\": ",
            c->cookie, c->bytes_in, c->bytes_out, c->rtt_us, (int)c->pid, c->holders);
    tool_json_put(to, c->program);
    fputs("}\n", to);
}
