/* SPDX-License-Identifier: MIT
 *
 * status_file.c: see status_file.h.
 */
#include "status_file.h"
#include "proc.h"
#include "tool.h"
#include <errno.h>
#include <fcntl.h>
#include <ppshim/deadline.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_MAX_READ 65536
#define COUNTERS_MAX 1024
#define LISTENERS_MAX 64

/* --- the process --- */

bool status_is_below(pid_t pid, pid_t top)
{
    struct tool_proc_stat stat;
    for (int depth = 0; pid > 1 && pid != top && depth < 64; depth++)
        pid = tool_proc_stat(pid, &stat) ? stat.parent : 0;
    return pid == top;
}

static bool is_our_namespace(const char *namespace)
{
    static char ours[64];
    if (!*ours && readlink("/proc/self/ns/pid", ours, sizeof ours - 1) < 0)
        return true;
    return !*namespace || strcmp(namespace, ours) == 0;
}

/* A later process of that number was started after the file was made. */
static bool is_alive(const struct status_file *f)
{
    struct tool_proc_stat stat;
    if (!is_our_namespace(f->namespace))
        return true;
    if (kill(f->pid, 0) != 0 && errno == ESRCH)
        return false;
    return !tool_proc_stat(f->pid, &stat) || (stat.started <= f->made && !stat.ends);
}

/* One of the users it is, or was before it dropped its privileges. */
static bool is_a_user_of(pid_t pid, uid_t uid)
{
    uid_t users[4];
    bool known = tool_proc_users(pid, users), is = false;
    for (int i = 0; known && i < 4; i++)
        is |= users[i] == uid;
    return is || !known;
}

/* --- the file --- */

bool status_file_named(const char *name, struct status_file *out)
{
    unsigned long pid;
    unsigned long long made;
    char again[64];
    *out = (struct status_file){0};
    if (sscanf(name, "%9lu.%20llu", &pid, &made) != 2 || !pid)
        return false;
    snprintf(again, sizeof again, "%lu.%llu", pid, made);
    snprintf(out->name, sizeof out->name, "%s", again);
    out->pid = (pid_t)pid;
    out->made = made;
    return strcmp(name, again) == 0;
}

static const char *wrong_shape(const struct pps_stats_head *h, size_t size)
{
    if (size < sizeof *h || atomic_load(&h->magic) != PPS_STATS_MAGIC)
        return "it is none of this version's";
    size_t least = offsetof(struct pps_stats_listener, counters) + 8 * (size_t)h->counters;
    if (h->counters > COUNTERS_MAX || h->listeners > LISTENERS_MAX || h->listener_size < least ||
        h->listener_size % 8 || h->first_listener % 8 || h->first_listener < sizeof *h || h->listener_size > size ||
        h->first_listener + (size_t)h->listeners * h->listener_size > size)
        return "it is damaged";
    return NULL;
}

static void copy_text(char *out, size_t size, const char *from, size_t room)
{
    snprintf(out, size, "%.*s", (int)strnlen(from, room), from);
}

/* Which of our counters each of the file's is; -1: none that is known here. */
static void match_keys(const struct pps_stats_head *h, int which[COUNTERS_MAX])
{
    const char *at = h->keys, *end = h->keys + sizeof h->keys;
    for (unsigned i = 0; i < h->counters; i++) {
        size_t length = strnlen(at, (size_t)(end - at));
        which[i] = -1;
        for (int k = 0; k < PPS_STAT_COUNT && length; k++)
            if (strlen(status_rows[k].key) == length && memcmp(status_rows[k].key, at, length) == 0)
                which[i] = k;
        at += length < (size_t)(end - at) ? length + 1 : length;
    }
}

static void take_listeners(struct status_file *f, const char *bytes)
{
    const struct pps_stats_head *h = (const struct pps_stats_head *)(const void *)bytes;
    int which[COUNTERS_MAX];
    match_keys(h, which);
    f->listener = tool_or_abort(calloc(h->listeners + 1, sizeof *f->listener));
    for (unsigned i = 0; i < h->listeners; i++) {
        const void *at = bytes + h->first_listener + (size_t)i * h->listener_size;
        const struct pps_stats_listener *l = at;
        if (!atomic_load(&l->named))
            continue;
        copy_text(f->listener[f->listeners].name, sizeof f->listener->name, l->name, sizeof l->name);
        for (unsigned k = 0; k < h->counters; k++)
            if (which[k] >= 0)
                f->listener[f->listeners].counters[which[k]] = atomic_load(&l->counters[k]);
        f->listeners++;
    }
}

/* Of "/usr/sbin/mariadbd (deleted)" the name. */
static void take_program(struct status_file *f, const struct pps_stats_head *h)
{
    static const char gone[] = " (deleted)";
    char path[sizeof h->program + 1];
    copy_text(path, sizeof path, h->program, sizeof h->program);
    size_t length = strlen(path), tail = strlen(gone);
    if (length > tail && strcmp(path + length - tail, gone) == 0)
        path[length - tail] = 0;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    copy_text(f->program, sizeof f->program, name, strlen(name) + 1);
}

static void take_user(struct status_file *f, uid_t uid)
{
    const struct passwd *entry = getpwuid(uid);
    if (entry)
        snprintf(f->user, sizeof f->user, "%s", entry->pw_name);
    else
        snprintf(f->user, sizeof f->user, "%u", (unsigned)uid);
}

static const char *wrong_file(const struct stat *st)
{
    if (!S_ISREG(st->st_mode) || st->st_nlink != 1)
        return "it is no plain file";
    return (size_t)st->st_size > SIZE_MAX_READ ? "it is too large" : NULL;
}

/* Its process is about to write it. */
static bool is_being_made(const struct pps_stats_head *h, size_t size)
{
    return size == 0 || (size >= sizeof *h && !atomic_load(&h->magic));
}

static bool is_strangers(const struct status_file *f, uid_t user, uid_t owner)
{
    return f->alive && user != 0 && user != owner && is_our_namespace(f->namespace) && !is_a_user_of(f->pid, user);
}

static void take_all(struct status_file *f, const char *bytes, uid_t user)
{
    const struct pps_stats_head *h = (const struct pps_stats_head *)(const void *)bytes;
    take_program(f, h);
    copy_text(f->unit, sizeof f->unit, h->unit, sizeof h->unit);
    take_user(f, user);
    take_listeners(f, bytes);
}

static void take(struct status_file *f, const char *bytes, size_t size, uid_t user, uid_t owner)
{
    const struct pps_stats_head *h = (const struct pps_stats_head *)(const void *)bytes;
    const char *wrong = wrong_shape(h, size);
    if (!wrong)
        copy_text(f->namespace, sizeof f->namespace, h->pid_namespace, sizeof h->pid_namespace);
    f->alive = is_alive(f);
    if (is_strangers(f, user, owner))
        f->refused = "it was not made by that process";
    else if (f->alive && is_being_made(h, size))
        return;
    else if (!wrong && (h->pid != (uint32_t)f->pid || h->made != f->made))
        f->refused = "its name is another's";
    else
        f->refused = wrong;
    if (!f->refused)
        take_all(f, bytes, user);
}

bool status_file_read(int directory, uid_t owner, struct status_file *f)
{
    static _Alignas(8) char bytes[SIZE_MAX_READ];
    struct stat st;
    int fd = openat(directory, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        f->refused = errno == ELOOP ? "it is no plain file" : "it may not be read";
        f->alive = is_alive(f);
        return errno != ENOENT;
    }
    f->refused = fstat(fd, &st) == 0 ? wrong_file(&st) : "it may not be read";
    ssize_t n = f->refused ? 0 : pread(fd, bytes, sizeof bytes, 0);
    close(fd);
    if (f->refused)
        f->alive = is_alive(f);
    else
        take(f, bytes, n > 0 ? (size_t)n : 0, st.st_uid, owner);
    return true;
}

void status_file_free(struct status_file *f)
{
    free(f->listener);
}
