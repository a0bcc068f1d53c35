/* SPDX-License-Identifier: MIT
 *
 * status_read.c: a directory of counters, added up, and cleared of what is old (status.h).
 *
 * Files are read between two looks at `totals`: if that was replaced meanwhile, what was added to it may have been
 * counted twice or not at all, and all is read anew. Who replaces it holds a lock on the directory.
 */
#include "status_totals.h"
#include "tool.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEPT_SECONDS 3600 /* a file, after its process was found to have ended */
#define KEPT_FILES 256    /* of these at most */
#define FILES_MAX 8192
#define TRIES 16

struct snapshot {
    int directory;
    uid_t owner;
    struct status_totals totals;
    bool foreign; /* totals */
    struct status_file *files;
    size_t count;
};

static void forget(struct snapshot *s)
{
    status_totals_free(&s->totals);
    for (size_t i = 0; i < s->count; i++)
        status_file_free(&s->files[i]);
    free(s->files);
    s->files = NULL;
    s->count = 0;
}

static void read_files(struct snapshot *s)
{
    struct status_file f;
    struct dirent *entry;
    int again = openat(s->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    while (dir && (entry = readdir(dir)) && s->count < FILES_MAX) {
        if (!status_file_named(entry->d_name, &f) || !status_file_read(s->directory, s->owner, &f))
            continue;
        s->files = tool_or_abort(realloc(s->files, (s->count + 1) * sizeof *s->files));
        s->files[s->count++] = f;
    }
    if (dir)
        closedir(dir);
}

static int by_process(const void *a, const void *b)
{
    const struct status_file *x = a, *y = b;
    int order = (x->pid > y->pid) - (x->pid < y->pid);
    order = order ? order : strcmp(x->namespace, y->namespace);
    return order ? order : (x->made > y->made) - (x->made < y->made);
}

static bool is_same_process(const struct status_file *a, const struct status_file *b)
{
    return a->pid == b->pid && strcmp(a->namespace, b->namespace) == 0;
}

/* A process that executed another program counts anew: of its files the last made is the living one's. */
static void find_successors(struct snapshot *s)
{
    bool is_succeeded = false;
    if (s->count)
        qsort(s->files, s->count, sizeof *s->files, by_process);
    for (size_t i = s->count; i-- > 0;) {
        is_succeeded = is_succeeded && is_same_process(&s->files[i], &s->files[i + 1]);
        s->files[i].alive &= !is_succeeded;
        is_succeeded |= s->files[i].alive && !s->files[i].refused;
    }
}

static void take(struct snapshot *s)
{
    for (int tries = 0; tries < TRIES; tries++) {
        struct status_totals after;
        status_totals_read(s->directory, s->owner, &s->totals, &s->foreign);
        read_files(s);
        status_totals_read(s->directory, s->owner, &after, &s->foreign);
        bool same = after.inode == s->totals.inode;
        status_totals_free(&after);
        if (same)
            break;
        forget(s);
    }
    find_successors(s);
}

/* false: errno says why. */
static bool open_directory(const char *path, struct snapshot *s)
{
    struct stat st;
    *s = (struct snapshot){.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (s->directory < 0)
        return false;
    s->owner = fstat(s->directory, &st) == 0 ? st.st_uid : 0;
    return true;
}

static void close_directory(struct snapshot *s)
{
    forget(s);
    close(s->directory);
}

static bool counts(const struct snapshot *s, const struct status_file *f)
{
    const struct status_ended *e = status_totals_find(&s->totals, f->name);
    return !f->refused && !(e && e->added);
}

/* --- adding up --- */

static int by_name(const void *a, const void *b)
{
    const struct status_group *x = a, *y = b;
    int order = strcmp(x->unit, y->unit);
    order = order ? order : strcmp(x->program, y->program);
    order = order ? order : strcmp(x->user, y->user);
    return order ? order : strverscmp(x->listener, y->listener);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void add_living(struct status_group *g, const uint64_t counters[PPS_STAT_COUNT], pid_t pid)
{
    g->counters[PPS_STAT_PARKED] += counters[PPS_STAT_PARKED];
    g->counters[PPS_STAT_PARKED_MAX] = larger(g->counters[PPS_STAT_PARKED_MAX], counters[PPS_STAT_PARKED_MAX]);
    g->pids = tool_or_abort(realloc(g->pids, (g->alive + 1) * sizeof *g->pids));
    g->pids[g->alive++] = pid;
}

static void add_file(struct status_groups *groups, const struct status_file *f)
{
    for (unsigned i = 0; i < f->listeners; i++) {
        struct status_group *g = status_group_of(groups, f->program, f->unit, f->user, f->listener[i].name);
        status_group_add(g, f->listener[i].counters);
        if (f->alive)
            add_living(g, f->listener[i].counters, f->pid);
        else
            g->ended++;
    }
}

static void add_totals(struct status_groups *groups, const struct status_group *kept)
{
    struct status_group *g = status_group_of(groups, kept->program, kept->unit, kept->user, kept->listener);
    status_group_add(g, kept->counters);
    g->ended += kept->ended;
}

/* Where a process has ended, the last of that number. */
static bool is_wanted(const struct snapshot *s, const struct status_file *f, const struct status_wanted *w)
{
    if (w->unit)
        return strcmp(f->unit, w->unit) == 0;
    if (!w->pid)
        return true;
    if (f->alive)
        return status_is_below(f->pid, w->pid);
    bool is_last = f->pid == w->pid;
    for (size_t i = 0; i < s->count; i++)
        is_last &= s->files[i].pid != w->pid || s->files[i].made <= f->made;
    return is_last;
}

static void complain_of(const struct snapshot *s, const char *directory)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->files[i].refused)
            tool_fail(0, "status", "%s/%s is left out: %s", directory, s->files[i].name, s->files[i].refused);
    if (s->count == FILES_MAX)
        tool_fail(0, "status", "%s holds more than %d files of counters: the rest is left out", directory, FILES_MAX);
    if (s->foreign)
        tool_fail(0, "status", "%s/totals is left out: it belongs neither to root nor to who owns the directory",
                  directory);
}

bool status_read(const char *directory, const struct status_wanted *w, bool complain, struct status *out,
                 char error[512])
{
    struct snapshot s;
    struct status_groups groups = {0};
    *out = (struct status){0};
    snprintf(out->directory, sizeof out->directory, "%s", directory);
    if (!open_directory(directory, &s)) {
        snprintf(error, 512, "%s cannot be read: %s: name the directory of PPSHIM_STATS with --stats", directory,
                 strerror(errno));
        return false;
    }
    take(&s);
    if (complain)
        complain_of(&s, directory);
    for (size_t i = 0; i < s.count; i++)
        if (counts(&s, &s.files[i]) && is_wanted(&s, &s.files[i], w))
            add_file(&groups, &s.files[i]);
    for (size_t i = 0; i < s.totals.groups.count && !w->pid; i++)
        if (!w->unit || strcmp(s.totals.groups.list[i].unit, w->unit) == 0)
            add_totals(&groups, &s.totals.groups.list[i]);
    close_directory(&s);
    if (groups.count)
        qsort(groups.list, groups.count, sizeof *groups.list, by_name);
    out->groups = groups.list;
    out->count = groups.count;
    return true;
}

void status_free(struct status *s)
{
    struct status_groups groups = {s->groups, s->count};
    status_groups_free(&groups);
}

/* --- clearing away --- */

static uint64_t seconds_since_boot(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec;
}

static bool has_file(const struct snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->files[i].name, name) == 0)
            return true;
    return false;
}

/* Of what was removed nothing need be known any more. */
static bool drop_removed(struct snapshot *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->totals.ended_count; i++)
        if (has_file(s, s->totals.ended[i].name))
            s->totals.ended[kept++] = s->totals.ended[i];
    bool any = kept < s->totals.ended_count;
    s->totals.ended_count = kept;
    return any;
}

static bool note_ended(struct snapshot *s, uint64_t now)
{
    bool any = false;
    for (size_t i = 0; i < s->count; i++)
        if (!s->files[i].alive && !status_totals_find(&s->totals, s->files[i].name)) {
            status_totals_add(&s->totals, s->files[i].name, now);
            any = true;
        }
    return any;
}

static void add_to_totals(struct snapshot *s, const struct status_file *f)
{
    for (unsigned i = 0; i < f->listeners; i++) {
        struct status_group *g = status_group_of(&s->totals.groups, f->program, f->unit, f->user, f->listener[i].name);
        status_group_add(g, f->listener[i].counters);
        g->ended++;
    }
}

/* Those first noted stand first. */
static bool add_old(struct snapshot *s, uint64_t now)
{
    bool any = false;
    for (size_t i = 0; i < s->totals.ended_count; i++) {
        struct status_ended *e = &s->totals.ended[i];
        bool old = e->since + KEPT_SECONDS <= now || s->totals.ended_count - i > KEPT_FILES;
        for (size_t k = 0; k < s->count && old && !e->added; k++)
            if (strcmp(s->files[k].name, e->name) == 0) {
                add_to_totals(s, &s->files[k]);
                e->added = any = true;
            }
    }
    return any;
}

static void remove_added(const struct snapshot *s)
{
    for (size_t i = 0; i < s->totals.ended_count; i++)
        if (s->totals.ended[i].added)
            unlinkat(s->directory, s->totals.ended[i].name, 0);
}

void status_tidy(const char *directory)
{
    struct snapshot s;
    uint64_t now = seconds_since_boot();
    if (!open_directory(directory, &s))
        return;
    bool may = geteuid() == 0 || geteuid() == s.owner;
    if (may && flock(s.directory, LOCK_EX | LOCK_NB) == 0) {
        take(&s);
        remove_added(&s); /* should the last one have been stopped before it did */
        bool changed = drop_removed(&s);
        changed |= note_ended(&s, now);
        changed |= add_old(&s, now);
        if (changed && status_totals_write(s.directory, &s.totals))
            remove_added(&s);
    }
    close_directory(&s);
}
