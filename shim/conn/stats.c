/* SPDX-License-Identifier: MIT
 *
 * stats.c: see stats.h.
 *
 * The file is on a tmpfs, or there is none: elsewhere a write to mapped memory can wait for a disk, or end the process
 * (SIGBUS) when that is full. Its room is taken before it is mapped.
 */
#include "stats.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <ppshim/deadline.h>
#include <ppshim/log.h>
#include <ppshim/real.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ON_TMPFS 0x01021994 /* statfs(2) */

static const char *directory;
static struct pps_stats_file *_Atomic file;
static atomic_bool off; /* it could not be made */

/* Whose counters stand at this place of the file: a port, or where the name of a Unix listener lies; 0: nobody's yet.
 */
static _Atomic uintptr_t owners[PPS_STATS_LISTENERS];

void pps_stats_start(const char *given)
{
    directory = given;
}

/* A child that a handler forked may return into the middle of a count: it ends in its parent's file, which is why that
   stays mapped. */
void pps_stats_after_fork(void)
{
    atomic_store(&file, NULL);
    atomic_store(&off, false);
    for (int i = 0; i < PPS_STATS_LISTENERS; i++)
        atomic_store(&owners[i], 0);
}

/* The text's new end. */
static char *put_number(char *to, uint64_t n)
{
    char digits[24], *at = digits + sizeof digits;
    *--at = 0;
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    return stpcpy(to, at);
}

/* --- what the file says of its process --- */

static const char keys[] =
#define X(constant, key, metric, labels) key "\0"
    PPS_STATS(X)
#undef X
#define X(le, nanoseconds) "wait." le "\0"
        PPS_STATS_WAITS(X)
#undef X
#define X(name, word, meaning) "rejected." word "\0"
            PPS_REASONS(X)
#undef X
    ;
_Static_assert(sizeof keys <= sizeof((struct pps_stats_head *)0)->keys, "the file holds every name");

/* Its end, where there is no room for all of it. */
static void keep_end(char *out, size_t size, const char *text, size_t length)
{
    size_t n = length < size ? length : size - 1;
    memcpy(out, text + length - n, n);
    out[n] = 0;
}

static void keep_link(char *out, size_t size, const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target);
    keep_end(out, size, target, n > 0 ? (size_t)n : 0);
}

/* "0::/system.slice/mariadb.service\n", or with services of its own below it; its first line is enough. */
static void keep_unit(char *out, size_t size)
{
    static const char suffix[] = ".service";
    char text[1024];
    int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        real_close(fd);
    text[n > 0 ? n : 0] = 0;
    char *end = strstr(text, suffix), *start = end;
    while (start && start > text && start[-1] != '/')
        start--;
    if (start && start < end && strchr("/\n", end[strlen(suffix)]))
        keep_end(out, size, start, (size_t)(end - start) + strlen(suffix));
}

static void describe(struct pps_stats_head *head, pid_t pid, uint64_t made)
{
    head->counters = PPS_STAT_COUNT;
    head->listeners = PPS_STATS_LISTENERS;
    head->listener_size = sizeof(struct pps_stats_listener);
    head->first_listener = offsetof(struct pps_stats_file, listener);
    head->pid = (uint32_t)pid;
    head->made = made;
    keep_end(head->version, sizeof head->version, PPS_VERSION, strlen(PPS_VERSION));
    keep_link(head->pid_namespace, sizeof head->pid_namespace, "/proc/self/ns/pid");
    keep_link(head->program, sizeof head->program, "/proc/self/exe");
    if (!*head->program) /* a root directory without /proc */
        prctl(PR_GET_NAME, head->program);
    keep_unit(head->unit, sizeof head->unit);
    memcpy(head->keys, keys, sizeof keys);
    atomic_store_explicit(&head->magic, PPS_STATS_MAGIC, memory_order_release);
}

/* --- making it --- */

struct making {
    char path[512]; /* a setting is 255 bytes at most (config.c) */
    pid_t pid;
    uint64_t made;
    const char *failed; /* at what */
};

static uint64_t since_boot(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * PPS_SECOND + (uint64_t)t.tv_nsec;
}

/* Nobody knows this name beforehand, and what has it is not opened. */
static int create(struct making *m)
{
    m->pid = getpid();
    m->made = since_boot();
    char *end = stpcpy(stpcpy(m->path, directory), "/");
    end = stpcpy(put_number(end, (uint64_t)m->pid), ".");
    put_number(end, m->made);
    m->failed = "cannot-make-a-file";
    return open(m->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static bool is_on_tmpfs(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type == ON_TMPFS;
}

/* Beyond this limit the kernel sends SIGXFSZ. */
static bool is_within_limit(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= sizeof(struct pps_stats_file);
}

static bool has_room(struct making *m, int fd)
{
    m->failed = "not-on-a-tmpfs";
    errno = 0;
    if (!is_on_tmpfs(fd))
        return false;
    m->failed = "no-room";
    errno = EFBIG;
    return is_within_limit() && fallocate(fd, 0, 0, sizeof(struct pps_stats_file)) == 0 && fchmod(fd, 0644) == 0;
}

static struct pps_stats_file *make(struct making *m)
{
    int fd = create(m);
    void *map = MAP_FAILED;
    if (fd < 0)
        return NULL;
    if (has_room(m, fd))
        map = mmap(NULL, sizeof(struct pps_stats_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int why = errno;
    if (map == MAP_FAILED)
        unlink(m->path);
    real_close(fd);
    errno = why;
    if (map == MAP_FAILED)
        return NULL;
    describe(map, m->pid, m->made);
    return map;
}

static void say_off(const struct making *m, int why)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    struct pps_line l;
    if (atomic_flag_test_and_set(&said))
        return;
    pps_line_begin(&l, "stats-off");
    pps_line_foreign(&l, "path", directory, strlen(directory));
    pps_line_word(&l, "why", m->failed);
    pps_line_errno(&l, "errno", why);
    pps_log(PPS_LOG_NOTICE, &l);
}

/* Threads whose first connections come at once, and a handler that interrupted one of them, each make one: nobody waits
   for another, and no connection goes uncounted meanwhile. One stays. */
__attribute__((cold, noinline)) static struct pps_stats_file *begin(void)
{
    struct making m;
    struct pps_stats_file *made = NULL, *first = NULL;
    if (!atomic_load(&off) && !(made = make(&m))) {
        int why = errno;
        atomic_store(&off, true);
        say_off(&m, why);
    }
    if (!made)
        return atomic_load(&file);
    bool is_ours = m.pid == getpid(); /* not the child of a handler that forked in between */
    if (is_ours && atomic_compare_exchange_strong(&file, &first, made))
        return made;
    munmap(made, sizeof *made);
    if (is_ours)
        unlink(m.path);
    return first;
}

/* --- counting --- */

/* Once a listener; apart, or each count would pay for what it needs. */
__attribute__((cold, noinline)) static void name_listener(struct pps_stats_listener *l, const struct pps_origin *origin,
                                                          bool is_last)
{
    _Static_assert(sizeof l->name >= PPS_UNIX_NAME_TEXT, "the longest name fits");
    if (is_last)
        strcpy(l->name, PPS_STATS_OTHER);
    else if (origin->unix_name)
        pps_unix_name_entry(origin->unix_name, l->name);
    else
        put_number(stpcpy(l->name, ":"), origin->port);
    atomic_store_explicit(&l->named, 1, memory_order_release);
}

static _Atomic uint64_t *counters_of(struct pps_stats_file *f, const struct pps_origin *origin)
{
    uintptr_t whose = origin->unix_name ? (uintptr_t)origin->unix_name : origin->port;
    int i = 0;
    for (; i < PPS_STATS_LISTENERS - 1; i++) {
        uintptr_t owner = atomic_load_explicit(&owners[i], memory_order_relaxed);
        if (!owner && atomic_compare_exchange_strong(&owners[i], &owner, whose))
            name_listener(&f->listener[i], origin, false);
        if (!owner || owner == whose)
            return f->listener[i].counters;
    }
    if (!atomic_exchange(&owners[i], 1))
        name_listener(&f->listener[i], origin, true);
    return f->listener[i].counters;
}

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void pps_stats_arrived(const struct pps_conn *c)
{
    struct pps_stats_file *f = atomic_load_explicit(&file, memory_order_acquire);
    if (directory && (f || (f = begin())))
        add(counters_of(f, &c->origin) + PPS_STAT_CONNECTIONS, 1);
}

/* NULL: nothing is counted. */
static _Atomic uint64_t *counters(const struct pps_conn *c)
{
    struct pps_stats_file *f = atomic_load_explicit(&file, memory_order_acquire);
    return f ? counters_of(f, &c->origin) : NULL;
}

void pps_stats_count(const struct pps_conn *c, enum pps_stat stat)
{
    _Atomic uint64_t *all = counters(c);
    if (all)
        add(all + stat, 1);
}

static enum pps_stat found(const struct pps_header *h)
{
    bool v2 = h->version == 2;
    if (h->local)
        return PPS_STAT_V2_LOCAL;
    if (!h->has_client)
        return v2 ? PPS_STAT_V2_UNKNOWN : PPS_STAT_V1_UNKNOWN;
    if (pps_addr_is_v4(&h->src))
        return v2 ? PPS_STAT_V2_INET : PPS_STAT_V1_INET;
    return v2 ? PPS_STAT_V2_INET6 : PPS_STAT_V1_INET6;
}

/* One whose header was there at the first look has not waited: no clock is read. */
static void count_wait(_Atomic uint64_t *all, uint64_t arrived)
{
    static const uint64_t within[] = {
#define X(le, nanoseconds) nanoseconds,
        PPS_STATS_WAITS(X)
#undef X
    };
    uint64_t waited = arrived ? pps_now() - arrived : 0;
    int range = 0;
    while (waited > within[range])
        range++;
    add(all + PPS_STAT_WAITS + range, 1);
    if (waited)
        add(all + PPS_STAT_WAIT_SUM, waited);
}

void pps_stats_found(const struct pps_conn *c, const struct pps_header *h)
{
    _Atomic uint64_t *all = counters(c);
    if (!all)
        return;
    add(all + found(h), 1);
    count_wait(all, c->arrived);
}

void pps_stats_parked(const struct pps_conn *c)
{
    _Atomic uint64_t *all = counters(c);
    if (!all)
        return;
    uint64_t now = atomic_fetch_add_explicit(all + PPS_STAT_PARKED, 1, memory_order_relaxed) + 1;
    add(all + PPS_STAT_PARKS, 1);
    if (now > atomic_load_explicit(all + PPS_STAT_PARKED_MAX, memory_order_relaxed))
        atomic_store_explicit(all + PPS_STAT_PARKED_MAX, now, memory_order_relaxed);
}

void pps_stats_unparked(const struct pps_conn *c)
{
    _Atomic uint64_t *all = counters(c);
    if (all)
        atomic_fetch_sub_explicit(all + PPS_STAT_PARKED, 1, memory_order_relaxed);
}
