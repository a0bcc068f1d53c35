/* SPDX-License-Identifier: MIT
 *
 * journal_book.c: see journal_book.h.
 */
#include "journal_book.h"
#include "connections.h"
#include "journal_file.h"
#include "journal_table.h"
#include "json.h"
#include "proc.h"
#include "sock_diag.h"
#include "tool.h"
#include <errno.h>
#include <inttypes.h>
#include <ppshim/deadline.h>
#include <ppshim/header_tlv.h>
#include <ppshim/journal.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PROCESSES_SWEPT 4096 /* beyond so many the dead ones are forgotten */

struct connection {
    struct pps_journal_datagram start; /* as it was told; of one found open what can be known */
    struct pps_addr local;             /* its port at least; the address is known when it is */
    bool has_local_ip;
    bool found;   /* open when the journal began: nobody told us of its start */
    bool written; /* the line of its beginning */
    bool endless; /* we shall not hear of its end */
    pid_t pid;
    uid_t uid;
    char program[16];
    char *facts; /* ", "cn": "app"..."; NULL: none */
};

/* One that tells us of starts. */
struct sender {
    pid_t pid;
    uint32_t lost;
    bool elsewhere; /* in another network namespace, of whose ends we do not hear */
    char program[16];
};

static struct tool_table connections, senders;
static char boot[9];
static bool stopping;

/* --- pieces of a line --- */

static FILE *begin_line(const char *event, uint64_t time)
{
    FILE *to = tool_journal_line();
    fprintf(to, "{\"event\": \"%s\", ", event);
    tool_json_time(to, "time", time);
    fprintf(to, ", \"boot\": \"%s\"", boot);
    return to;
}

static void put_address(FILE *to, const char *key, const struct pps_addr *a)
{
    fputs(", ", to);
    tool_json_address(to, key, a);
}

static void put_time(FILE *to, const char *key, uint64_t time)
{
    fputs(", ", to);
    tool_json_time(to, key, time);
}

static void put_ends(FILE *to, const struct connection *c)
{
    fprintf(to, ", \"id\": %" PRIu64, c->start.cookie);
    if (c->start.kind == PPS_JOURNAL_PROXIED)
        put_address(to, "client", &c->start.client);
    put_address(to, "peer", &c->start.peer);
    if (c->has_local_ip)
        put_address(to, "local", &c->local);
    else
        fprintf(to, ", \"local\": \":%u\"", c->local.port);
    if (c->start.kind == PPS_JOURNAL_PROXIED && !c->found)
        put_address(to, "server", &c->start.server);
}

static void put_rest(FILE *to, const struct connection *c)
{
    static const char *const kinds[] = {"proxied", "local", "unknown", "no-header", "untrusted"};
    if (!c->found) {
        fprintf(to, ", \"kind\": \"%s\"", kinds[c->start.kind]);
        if (c->start.header_version)
            fprintf(to, ", \"header\": %u", c->start.header_version);
        if (c->start.flags & PPS_JOURNAL_TLVS_CUT)
            fputs(", \"tlvs_cut\": true", to);
    }
    fputs(c->facts ? c->facts : "", to);
    fprintf(to, ", \"pid\": %d, \"uid\": %u, \"program\": ", (int)c->pid, (unsigned)c->uid);
    tool_json_put(to, c->program);
    fputs("}\n", to);
}

/* "start", or "open": it was when the journal began. */
static void write_begin(struct connection *c, const char *event, uint64_t time)
{
    FILE *to = begin_line(event, time);
    put_ends(to, c);
    put_time(to, "start", c->start.time);
    if (c->endless)
        fputs(", \"how\": \"unseen\"", to);
    put_rest(to, c);
    c->written = true;
}

static const char *const endings[] = {
    [TOOL_ENDED_UNKNOWN] = "ended",
    [TOOL_ENDED_CLOSED] = "closed",
    [TOOL_ENDED_RESET] = "reset",
    [TOOL_ENDED_TIMEOUT] = "timeout",
};

static double seconds_between(uint64_t from, uint64_t to)
{
    return to > from ? (double)(to - from) / 1e9 : 0;
}

/* `end` is NULL: nobody saw it. */
static void write_end(struct connection *c, const struct tool_end *end, uint64_t time)
{
    FILE *to = begin_line("end", time);
    uint64_t header = c->start.header_length;
    if (end) {
        c->local = end->local;
        c->has_local_ip = true;
    }
    put_ends(to, c);
    put_time(to, "start", c->start.time);
    put_time(to, "end", time);
    fprintf(to, ", \"seconds\": %.3f", seconds_between(c->start.time, time));
    if (end)
        fprintf(to, ", \"bytes_in\": %" PRIu64 ", \"bytes_out\": %" PRIu64,
                end->bytes_in > header ? end->bytes_in - header : 0, end->bytes_out);
    fprintf(to, ", \"how\": \"%s\"", end ? endings[end->how] : "unseen");
    put_rest(to, c);
}

static void write_lost(const char *what, uint64_t count, uint64_t time)
{
    fprintf(begin_line("lost", time), ", \"%s\": %" PRIu64 "}\n", what, count);
}

/* --- what a header said --- */

static void put_fact(FILE *to, enum pps_fact_kind kind, const struct pps_fact *fact)
{
    if (pps_fact_is_number(kind)) {
        fprintf(to, ", \"%s\": %" PRIu64, pps_fact_word(kind), fact->number);
        return;
    }
    fprintf(to, ", \"%s\": ", pps_fact_word(kind));
    tool_json_bytes(to, fact->bytes.at, fact->bytes.length);
}

static char *facts_of(const struct pps_journal_datagram *d, const uint8_t *tlvs)
{
    struct pps_header h = {
        .version = d->header_version, .local = d->kind == PPS_JOURNAL_LOCAL, .tlvs = {tlvs, d->tlvs_length}};
    struct pps_facts facts;
    char *text = NULL;
    size_t length;
    if (!d->tlvs_length)
        return NULL;
    FILE *to = tool_or_abort(open_memstream(&text, &length));
    pps_facts_read(&h, &facts);
    for (int i = 0; i < PPS_FACT_COUNT; i++)
        if (facts.of[i].bytes.at)
            put_fact(to, (enum pps_fact_kind)i, &facts.of[i]);
    fclose(to);
    return text;
}

/* --- the connections --- */

static void forget(struct connection *c)
{
    free(c->facts);
    free(c);
}

static struct connection *add(const struct pps_journal_datagram *start)
{
    struct connection *c = tool_or_abort(calloc(1, sizeof *c));
    c->start = *start;
    c->local.port = start->local_port;
    tool_table_add(&connections, start->cookie, c);
    return c;
}

static void take_end(const struct tool_end *end, void *time)
{
    struct connection *c = tool_table_remove(&connections, end->cookie);
    if (!c)
        return;
    if (!c->written)
        write_begin(c, "open", *(uint64_t *)time);
    write_end(c, end, *(uint64_t *)time);
    forget(c);
}

/* --- who tells us --- */

static bool is_elsewhere(pid_t pid)
{
    bool ours;
    return tool_proc_network(pid, &ours) && !ours;
}

static bool lives(uint64_t key, void *sender, void *unused)
{
    (void)key;
    (void)unused;
    if (kill(((struct sender *)sender)->pid, 0) == 0 || errno != ESRCH)
        return true;
    free(sender);
    return false;
}

static struct sender *sender_of(const struct tool_heard *heard, uint32_t run)
{
    uint64_t key = (uint64_t)heard->pid << 32 | run;
    struct sender *s = tool_table_find(&senders, key);
    if (s)
        return s;
    if (senders.used >= PROCESSES_SWEPT)
        tool_table_filter(&senders, lives, NULL);
    s = tool_or_abort(calloc(1, sizeof *s));
    s->pid = heard->pid;
    s->elsewhere = is_elsewhere(s->pid);
    tool_proc_name(s->pid, s->program);
    tool_table_add(&senders, key, s);
    return s;
}

static void take_lost(struct sender *s, uint32_t lost, uint64_t time)
{
    if (lost <= s->lost) /* told by another thread of the process before it was more */
        return;
    FILE *to = begin_line("lost", time);
    fprintf(to, ", \"starts\": %u, \"pid\": %d, \"program\": ", lost - s->lost, (int)s->pid);
    tool_json_put(to, s->program);
    fputs("}\n", to);
    s->lost = lost;
}

static void take_start(const struct tool_heard *heard)
{
    struct pps_journal_datagram d;
    if (heard->length < sizeof d)
        return;
    memcpy(&d, heard->data, sizeof d);
    if (d.magic != PPS_JOURNAL_MAGIC || d.kind > PPS_JOURNAL_UNTRUSTED || heard->length != sizeof d + d.tlvs_length)
        return;
    struct sender *s = sender_of(heard, d.run);
    take_lost(s, d.lost, heard->time);
    struct connection *before = tool_table_remove(&connections, d.cookie);
    bool told = before && before->found && before->written;
    if (before && !before->found)
        write_end(before, NULL, heard->time);
    if (before)
        forget(before);
    struct connection *c = add(&d);
    c->pid = heard->pid;
    c->uid = heard->uid;
    memcpy(c->program, s->program, sizeof c->program);
    c->facts = facts_of(&d, (const uint8_t *)heard->data + sizeof d);
    c->written = told;
    c->endless = s->elsewhere;
    if (!told)
        write_begin(c, "start", heard->time);
    if (c->endless)
        forget(tool_table_remove(&connections, d.cookie));
}

/* --- where ends were lost --- */

static void note_alive(uint64_t cookie, void *alive)
{
    if (!tool_table_find(alive, cookie))
        tool_table_add(alive, cookie, alive);
}

struct survey {
    struct tool_table alive;
    uint64_t time;
};

static bool is_alive(uint64_t cookie, void *connection, void *arg)
{
    struct survey *s = arg;
    if (tool_table_find(&s->alive, cookie))
        return true;
    write_end(connection, NULL, s->time);
    forget(connection);
    return false;
}

/* Who is no more has ended, at some time before now. */
static void take_overrun(uint64_t time)
{
    struct survey s = {.time = time};
    size_t before = connections.used;
    if (tool_sockets_alive(note_alive, &s.alive))
        tool_table_filter(&connections, is_alive, &s);
    write_lost("ends", before - connections.used, time);
    free(s.alive.places);
}

/* --- what was heard --- */

static void take_signal(int number, uint64_t time)
{
    if (number == SIGHUP) {
        tool_journal_reopen();
        return;
    }
    stopping = true;
    fprintf(begin_line("journal-stop", time), ", \"open\": %zu}\n", connections.used);
}

void tool_book_take(const struct tool_heard *heard, void *unused)
{
    uint64_t time = heard->time;
    (void)unused;
    switch (heard->kind) {
    case TOOL_HEARD_START:
        take_start(heard);
        break;
    case TOOL_HEARD_ENDS:
        tool_ends_parse(heard->data, heard->length, take_end, &time);
        break;
    case TOOL_HEARD_OVERRUN:
        take_overrun(time);
        break;
    case TOOL_HEARD_DROPPED:
        write_lost("heard", heard->lost, time);
        take_overrun(time);
        break;
    case TOOL_HEARD_SIGNAL:
        take_signal(heard->signal, time);
        break;
    }
}

/* --- the beginning --- */

static void read_boot(void)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file && fgets(boot, sizeof boot, file))
        boot[8] = 0;
    if (file)
        fclose(file);
}

bool tool_book_open(const char *path, char error[512])
{
    read_boot();
    return tool_journal_open(path, error);
}

static void add_found(const struct tool_connection *found)
{
    struct pps_journal_datagram d = {
        .kind = found->client.has_addr ? PPS_JOURNAL_PROXIED : PPS_JOURNAL_UNKNOWN,
        .cookie = found->cookie,
        .time = found->client.since * UINT64_C(1000000000),
        .peer = found->peer,
        .client = found->client.addr,
    };
    struct connection *c = add(&d);
    c->found = c->has_local_ip = true;
    c->local = found->local;
    c->pid = found->pid;
    memcpy(c->program, found->program, sizeof c->program);
}

static void write_found(const struct tool_connection *found, uint64_t time)
{
    struct connection *c = tool_table_find(&connections, found->cookie);
    if (c && !c->written)
        write_begin(c, "open", time);
}

void tool_book_begin(void)
{
    struct tool_processes processes;
    struct tool_connections found;
    uint64_t now = pps_wall_clock();
    FILE *to = begin_line("journal-start", now);
    tool_connections_of("journal", NULL, &processes, &found);
    for (size_t i = 0; i < found.count; i++)
        if (!is_elsewhere(found.list[i].pid))
            add_found(&found.list[i]);
    fprintf(to, ", \"version\": \"%s\"", PPS_VERSION);
    if (*found.blocked) {
        fputs(", \"blind\": ", to);
        tool_json_put(to, found.blocked);
    }
    fputs("}\n", to);
    tool_ear_take_now(tool_book_take, NULL);
    for (size_t i = 0; i < found.count; i++)
        write_found(&found.list[i], now);
    tool_connections_free(&found);
    tool_processes_free(&processes);
}

bool tool_book_write(void)
{
    tool_journal_flush();
    return !stopping;
}
