/* SPDX-License-Identifier: MIT
 *
 * status_totals.c: see status_totals.h. Lines of words between tabs; whatever could be taken for a tab or a line's end
 * is \xNN.
 *
 *     ppshim-totals 1
 *     ended   NAME   SECONDS   0 or 1
 *     group   PROGRAM   UNIT   USER   LISTENER   HOW MANY ENDED
 *     counter   KEY   VALUE                                          of the group above
 */
#include "status_totals.h"
#include "tool.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_LINE "ppshim-totals 1\n"

/* --- groups --- */

struct status_group *status_group_of(struct status_groups *g, const char *program, const char *unit, const char *user,
                                     const char *listener)
{
    for (size_t i = 0; i < g->count; i++) {
        struct status_group *one = &g->list[i];
        if (strcmp(one->program, program) == 0 && strcmp(one->unit, unit) == 0 && strcmp(one->user, user) == 0 &&
            strcmp(one->listener, listener) == 0)
            return one;
    }
    g->list = tool_or_abort(realloc(g->list, (g->count + 1) * sizeof *g->list));
    struct status_group *new = &g->list[g->count++];
    *new = (struct status_group){0};
    snprintf(new->program, sizeof new->program, "%s", program);
    snprintf(new->unit, sizeof new->unit, "%s", unit);
    snprintf(new->user, sizeof new->user, "%s", user);
    snprintf(new->listener, sizeof new->listener, "%s", listener);
    return new;
}

void status_groups_free(struct status_groups *g)
{
    for (size_t i = 0; i < g->count; i++)
        free(g->list[i].pids);
    free(g->list);
    *g = (struct status_groups){0};
}

void status_group_add(struct status_group *to, const uint64_t counters[PPS_STAT_COUNT])
{
    for (int i = 0; i < PPS_STAT_COUNT; i++)
        if (status_metrics[status_rows[i].metric].type != STATUS_GAUGE)
            to->counters[i] += counters[i];
}

/* --- those that ended --- */

struct status_ended *status_totals_find(const struct status_totals *t, const char *name)
{
    for (size_t i = 0; i < t->ended_count; i++)
        if (strcmp(t->ended[i].name, name) == 0)
            return &t->ended[i];
    return NULL;
}

struct status_ended *status_totals_add(struct status_totals *t, const char *name, uint64_t since)
{
    t->ended = tool_or_abort(realloc(t->ended, (t->ended_count + 1) * sizeof *t->ended));
    struct status_ended *new = &t->ended[t->ended_count++];
    *new = (struct status_ended){.since = since};
    snprintf(new->name, sizeof new->name, "%s", name);
    return new;
}

void status_totals_free(struct status_totals *t)
{
    status_groups_free(&t->groups);
    free(t->ended);
    *t = (struct status_totals){0};
}

/* --- reading --- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void unescape(char *text)
{
    char *to = text;
    for (; *text; text++) {
        if (text[0] == '\\' && text[1] == 'x' && hex(text[2]) >= 0 && hex(text[3]) >= 0) {
            *to++ = (char)(hex(text[2]) * 16 + hex(text[3]));
            text += 3;
        } else {
            *to++ = *text;
        }
    }
    *to = 0;
}

enum { WORDS = 6 };

static int split(char *line, char *words[WORDS])
{
    int n = 0;
    line[strcspn(line, "\n")] = 0;
    while (n < WORDS && (words[n] = strsep(&line, "\t")))
        unescape(words[n++]);
    return n;
}

static void take_line(struct status_totals *t, struct status_group **group, char *line)
{
    char *words[WORDS];
    int n = split(line, words);
    if (n == 4 && strcmp(words[0], "ended") == 0) {
        status_totals_add(t, words[1], strtoull(words[2], NULL, 10))->added = *words[3] == '1';
    } else if (n == 6 && strcmp(words[0], "group") == 0) {
        *group = status_group_of(&t->groups, words[1], words[2], words[3], words[4]);
        (*group)->ended = (unsigned)strtoul(words[5], NULL, 10);
    } else if (n == 3 && *group && strcmp(words[0], "counter") == 0) {
        for (int i = 0; i < PPS_STAT_COUNT; i++)
            if (strcmp(status_rows[i].key, words[1]) == 0)
                (*group)->counters[i] = strtoull(words[2], NULL, 10);
    }
}

void status_totals_read(int directory, uid_t owner, struct status_totals *out, bool *foreign)
{
    struct stat st;
    struct status_group *group = NULL;
    char *line = NULL;
    size_t size = 0;
    *out = (struct status_totals){0};
    int fd = openat(directory, "totals", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool is_there = fd >= 0 && fstat(fd, &st) == 0;
    *foreign = is_there && (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != owner));
    FILE *file = is_there && !*foreign ? fdopen(fd, "r") : NULL;
    if (!file && fd >= 0)
        close(fd);
    if (!file)
        return;
    out->inode = st.st_ino;
    if (getline(&line, &size, file) > 0 && strcmp(line, FIRST_LINE) == 0)
        while (getline(&line, &size, file) > 0)
            take_line(out, &group, line);
    free(line);
    fclose(file);
}

/* --- writing --- */

static void put_word(FILE *to, const char *text)
{
    putc('\t', to);
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == '\\' || *text == 0x7f)
            fprintf(to, "\\x%02x", (unsigned char)*text);
        else
            putc(*text, to);
    }
}

static void put_group(FILE *to, const struct status_group *g)
{
    fprintf(to, "group");
    put_word(to, g->program);
    put_word(to, g->unit);
    put_word(to, g->user);
    put_word(to, g->listener);
    fprintf(to, "\t%u\n", g->ended);
    for (int i = 0; i < PPS_STAT_COUNT; i++)
        if (g->counters[i])
            fprintf(to, "counter\t%s\t%" PRIu64 "\n", status_rows[i].key, g->counters[i]);
}

static bool put_all(FILE *to, const struct status_totals *t)
{
    fputs(FIRST_LINE, to);
    for (size_t i = 0; i < t->ended_count; i++)
        fprintf(to, "ended\t%s\t%" PRIu64 "\t%d\n", t->ended[i].name, t->ended[i].since, t->ended[i].added);
    for (size_t i = 0; i < t->groups.count; i++)
        put_group(to, &t->groups.list[i]);
    bool good = !ferror(to);
    return fclose(to) == 0 && good;
}

bool status_totals_write(int directory, const struct status_totals *t)
{
    char name[64];
    snprintf(name, sizeof name, ".totals.%d", (int)getpid());
    unlinkat(directory, name, 0);
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    FILE *file = fd >= 0 && fchmod(fd, 0644) == 0 ? fdopen(fd, "w") : NULL;
    if (!file && fd >= 0)
        close(fd);
    if (file && put_all(file, t) && renameat(directory, name, directory, "totals") == 0)
        return true;
    if (fd >= 0)
        unlinkat(directory, name, 0);
    return false;
}
