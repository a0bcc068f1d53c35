/* SPDX-License-Identifier: MIT
 *
 * journal_query.c: see journal_query.h. Knows of a line what journal_book.c writes, and that no string in it can hold
 * an unescaped quote: the key and its colon are found by themselves.
 */
#include "journal_query.h"
#include "endpoint.h"
#include "journal_table.h"
#include "tool.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* --- times --- */

static uint64_t milliseconds(struct tm *t, bool utc)
{
    long offset = t->tm_gmtoff;
    t->tm_isdst = -1;
    time_t seconds = utc ? timegm(t) - offset : mktime(t);
    return seconds < 0 ? 0 : (uint64_t)seconds * 1000;
}

/* ".123", as the journal has it. */
static bool read_fraction(const char **rest, unsigned *milliseconds)
{
    int length = 0;
    if (sscanf(*rest, ".%3u%n", milliseconds, &length) != 1 || length != 4)
        return false;
    *rest += length;
    return true;
}

bool tool_query_time(const char *text, uint64_t *first, uint64_t *last)
{
    static const struct {
        const char *format;
        unsigned seconds; /* that it means */
        bool today;
    } forms[] = {{"%Y-%m-%dT%H:%M:%S", 1, false},
                 {"%Y-%m-%d %H:%M:%S", 1, false},
                 {"%Y-%m-%dT%H:%M", 60, false},
                 {"%Y-%m-%d %H:%M", 60, false},
                 {"%Y-%m-%d", 86400, false},
                 {"%H:%M:%S", 1, true},
                 {"%H:%M", 60, true}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        time_t now = time(NULL);
        struct tm t = {0};
        if (forms[i].today && !localtime_r(&now, &t))
            return false;
        t.tm_sec = t.tm_min = t.tm_hour = 0;
        t.tm_gmtoff = 0;
        const char *rest = strptime(text, forms[i].format, &t), *zone;
        if (!rest)
            continue;
        t.tm_gmtoff = 0;
        unsigned fraction = 0, span = 1000 * forms[i].seconds;
        if (span == 1000 && read_fraction(&rest, &fraction))
            span = 1;
        zone = rest;
        if (*rest)
            rest = strptime(rest, "%z", &t);
        if (!rest || *rest)
            continue;
        *first = milliseconds(&t, *zone) + fraction;
        *last = *first + span - 1;
        return true;
    }
    return false;
}

/* --- a line --- */

/* The value of a string, which is one of ours and has no escapes; NULL: the line has none. */
static const char *value_of(const char *line, const char *key, size_t *length)
{
    char wanted[32];
    snprintf(wanted, sizeof wanted, "\"%s\": \"", key);
    const char *at = strstr(line, wanted);
    if (!at)
        return NULL;
    at += strlen(wanted);
    *length = strcspn(at, "\"");
    return at;
}

static bool time_of(const char *line, const char *key, uint64_t *out)
{
    struct tm t = {0};
    unsigned ms;
    int length = 0;
    size_t ignored;
    const char *at = value_of(line, key, &ignored);
    if (!at ||
        sscanf(at, "%4d-%2d-%2dT%2d:%2d:%2d.%3uZ%n", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min,
               &t.tm_sec, &ms, &length) != 7 ||
        !length)
        return false;
    t.tm_year -= 1900;
    t.tm_mon--;
    *out = milliseconds(&t, true) + ms;
    return true;
}

/* The client's, or the peer's where no header named a client. */
static bool is_wanted(const struct tool_query *q, const char *line)
{
    char text[PPS_ADDR_TEXT];
    struct pps_addr from;
    size_t length;
    const char *at = value_of(line, "client", &length);
    if (!q->has_clients)
        return true;
    if (!at)
        at = value_of(line, "peer", &length);
    if (!at || length >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)length, at);
    return tool_endpoint_read(text, 0, &from) && pps_cidr_has(&q->clients, &from);
}

/* What names a connection: the boot and the cookie. */
static bool key_of(const char *line, uint64_t *key)
{
    size_t length;
    unsigned long long id;
    const char *at = strstr(line, "\"id\": "), *boot = value_of(line, "boot", &length);
    if (!at || !boot || sscanf(at, "\"id\": %llu", &id) != 1)
        return false;
    *key = (uint64_t)id ^ (uint64_t)strtoul(boot, NULL, 16) << 32;
    return true;
}

/* --- what was found --- */

struct found {
    uint64_t start;
    bool ended;
    char *line;
};

struct search {
    const struct tool_query *q;
    struct tool_table table;
};

static void take_line(struct search *s, const char *line)
{
    uint64_t key, start, end;
    bool ends = strncmp(line, "{\"event\": \"end\"", 15) == 0;
    if (!ends && strncmp(line, "{\"event\": \"start\"", 17) != 0 && strncmp(line, "{\"event\": \"open\"", 16) != 0)
        return;
    if (!key_of(line, &key) || !time_of(line, "start", &start))
        return;
    bool wanted = start <= s->q->to && is_wanted(s->q, line);
    if (ends && time_of(line, "end", &end))
        wanted &= end >= s->q->from;
    struct found *f = tool_table_find(&s->table, key);
    if (f && (f->ended || !ends)) /* files in any order, and one twice */
        return;
    if (!f && !wanted && !ends)
        return;
    if (!f) {
        f = tool_or_abort(calloc(1, sizeof *f));
        tool_table_add(&s->table, key, f);
    }
    free(f->line);
    *f = (struct found){.start = start, .ended = ends, .line = wanted ? tool_text("%s", line) : NULL};
}

/* --- files --- */

static const char *reader_of(const char *name)
{
    static const struct {
        const char *suffix, *program;
    } readers[] = {{".gz", "gzip"}, {".xz", "xz"}, {".zst", "zstd"}, {".bz2", "bzip2"}};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (length > strlen(readers[i].suffix) &&
            strcmp(name + length - strlen(readers[i].suffix), readers[i].suffix) == 0)
            return readers[i].program;
    return NULL;
}

/* What `program -dc <file` writes. NULL and errno. */
static FILE *open_through(const char *program, int file, pid_t *pid)
{
    char *argv[] = {(char *)program, "-dc", NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, file, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    errno = posix_spawnp(pid, program, &actions, NULL, argv, environ);
    int failed = errno;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    FILE *from = failed ? NULL : fdopen(ends[0], "re");
    if (!from)
        close(ends[0]);
    errno = failed;
    return from;
}

static bool read_lines(struct search *s, FILE *from)
{
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, from) > 0)
        take_line(s, line);
    free(line);
    return !ferror(from);
}

static bool read_file(struct search *s, const char *name)
{
    const char *program = reader_of(name);
    pid_t pid = 0;
    int status = 0, fd = open(name, O_RDONLY | O_CLOEXEC);
    FILE *from = fd < 0 ? NULL : program ? open_through(program, fd, &pid) : fdopen(fd, "re");
    bool good = from && read_lines(s, from);
    int error = errno;
    if (from)
        fclose(from);
    if (program && fd >= 0)
        close(fd);
    if (pid > 0)
        good &= waitpid(pid, &status, 0) == pid && status == 0;
    if (!good && status)
        tool_fail(TOOL_NO, "journal", "%s: %s could not read all of it", name, program);
    else if (!good)
        tool_fail(TOOL_NO, "journal", "%s: %s%s%s", name, program ? program : "", program ? ": " : "", strerror(error));
    return good;
}

static int by_start(const void *a, const void *b)
{
    const struct found *one = a, *other = b;
    return one->start < other->start ? -1 : one->start > other->start;
}

static void print(struct search *s)
{
    struct found *all = tool_or_abort(calloc(s->table.used + 1, sizeof *all));
    size_t count = 0;
    for (size_t i = 0; i < s->table.size; i++)
        if (s->table.places[i].thing) {
            all[count++] = *(struct found *)s->table.places[i].thing;
            free(s->table.places[i].thing);
        }
    qsort(all, count, sizeof *all, by_start);
    for (size_t i = 0; i < count; i++) {
        if (all[i].line)
            fputs(all[i].line, stdout);
        free(all[i].line);
    }
    free(all);
    free(s->table.places);
}

int tool_query(const struct tool_query *q, char **files)
{
    struct search s = {.q = q};
    bool good = true;
    for (; *files; files++)
        good &= read_file(&s, *files);
    print(&s);
    return good && fflush(stdout) == 0 ? TOOL_OK : TOOL_NO;
}
