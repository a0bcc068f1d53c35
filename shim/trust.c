/* SPDX-License-Identifier: MIT
 *
 * trust.c: list texts and their files to sets, and the sets in force (trust.h).
 *
 * Owns the one pointer to the lists in force. Must never call malloc (a reload happens inside accept, which servers
 * call from signal handlers), wait for another thread, or keep a descriptor open.
 *
 * Threads: readers count themselves in and out; a reload swaps the pointer and frees what it replaced once it has seen
 * no reader after the swap. One thread reloads at a time, with signals blocked and cancellation off, so that no handler
 * finds its own thread half way through. Fork: the child goes on with the lists it inherited.
 */
#include "trust_parts.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <ppshim/cidr.h>
#include <ppshim/real.h>
#include <ppshim/trust.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 16             /* a list */
#define FILE_SIZE_MAX (64 << 20) /* of a list file */
#define LOOK_EVERY_MS 1000
#define SETTLE_MS 500 /* half of it: a file still being written costs one look more */

enum { TRUST, OPTIONAL, ALLOW, DENY, LISTS };

/* What tells one content of a file from another without reading it. */
struct stamp {
    int error; /* why it cannot be looked at; the rest is then 0 */
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtim, ctim;
};

struct file {
    const char *path; /* in the configuration's text: no NUL behind it */
    size_t length;
    struct stamp stamp; /* of the content read */
};

struct list {
    struct pps_cidr_set set;
    struct file files[FILES_MAX];
    unsigned file_count;
};

/* Immutable once published, in a mapping of its own. */
struct lists {
    struct list list[LISTS];
    struct lists *next_retired; /* the reloader's */
};

struct stamps {
    struct stamp of[LISTS][FILES_MAX];
};

static _Atomic(struct lists *) current;
static atomic_uint readers; /* threads (and handlers) that may hold `current` as it was or is */
static _Thread_local volatile sig_atomic_t
    reading; /* this thread's share of it: all that is left of it in a forked child */

static _Atomic(const struct pps_config *) watched; /* NULL: no list comes from a file, there is nothing to look at */
static _Atomic uint32_t last_look_ms;
static atomic_bool looking; /* owns what follows */
static struct lists *retired;
static struct stamps seen, broken; /* as they are now; as they were when a reload failed */
static bool broken_known;          /* `broken` means something, and the operator was told */
static bool broken_may_mend;       /* it was not the content: try again without waiting for a change */

/* --- entries of a text --- */

struct entry {
    const char *at;
    size_t length;
};

static bool is_separator(char c)
{
    return c == ',' || c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next entry of *at..end; false when none is left. */
static bool next_entry(const char **at, const char *end, struct entry *out)
{
    const char *p = *at;
    while (p < end && is_separator(*p))
        p++;
    out->at = p;
    while (p < end && !is_separator(*p))
        p++;
    out->length = (size_t)(p - out->at);
    *at = p;
    return out->length;
}

static bool entry_is(struct entry e, const char *word)
{
    return e.length == strlen(word) && memcmp(e.at, word, e.length) == 0;
}

/* --- reading one list --- */

struct reading {
    const char *setting, *text;
    struct list *list;
    bool opens_files;
    struct pps_cidr_builder builder;
    const struct file *file; /* being read, and the line of it; NULL, 0 */
    unsigned long line;
    bool may_mend; /* failed for what can pass by itself */
    char *error;
};

/* "PPSHIM_TRUST=@/path: line 3: " and the message; always false. */
__attribute__((format(printf, 2, 3))) static bool refuse(struct reading *r, const char *format, ...)
{
    char shown[160], where[200] = "", line[32] = "";
    va_list args;
    if (r->file) {
        pps_cidr_quote(shown, sizeof shown, r->file->path, r->file->length);
        if (r->line)
            snprintf(line, sizeof line, "line %lu: ", r->line);
        snprintf(where, sizeof where, "@%s: %s", shown, line);
    }
    int n = snprintf(r->error, PPS_ERROR_TEXT, "%s=%s", r->setting, where);
    va_start(args, format);
    vsnprintf(r->error + n, PPS_ERROR_TEXT - (size_t)n, format, args);
    va_end(args);
    return false;
}

/* The same about the list as a whole. */
static bool refuse_list(struct reading *r, const char *what)
{
    char shown[96];
    return refuse(r, "%s: %s", pps_cidr_quote(shown, sizeof shown, r->text, strlen(r->text)), what);
}

/* About a descriptor or a file that cannot be had now. Not strerror: it may translate, and so allocate. */
static bool refuse_for_now(struct reading *r, const char *what, int error)
{
    static const struct {
        int error;
        const char *text;
    } known[] = {
        {ENOENT, "no such file: create it or correct the path"},
        {ENOTDIR, "no such file: create it or correct the path"},
        {EACCES, "permission denied: the server's user must be able to read it"},
        {EPERM, "permission denied: the server's user must be able to read it"},
        {ELOOP, "too many symbolic links: correct the path"},
        {EMFILE, "no descriptor left: raise the server's limit"},
        {ENFILE, "no descriptor left: raise the system's limit"},
        {ENOMEM, "no memory left"},
    };
    r->may_mend = true;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].error == error)
            return refuse(r, "%s: %s", what, known[i].text);
    return refuse(r, "%s: error %d", what, error);
}

static bool add_prefix(struct reading *r, struct entry e)
{
    char why[280];
    return pps_cidr_add(&r->builder, e.at, e.length, why, sizeof why) || refuse(r, "%s", why);
}

static size_t added(const struct reading *r)
{
    return r->builder.include.prefixes + r->builder.exclude.prefixes;
}

/* --- reading a file --- */

static struct stamp stamp_of(const struct stat *st)
{
    return (struct stamp){0, st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim};
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
    return a->error == b->error && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           same_time(a->mtim, b->mtim) && same_time(a->ctim, b->ctim);
}

/* note_file bounds the length. */
static const char *path_text(const struct file *f, char out[PATH_MAX])
{
    memcpy(out, f->path, f->length);
    out[f->length] = 0;
    return out;
}

static bool read_line(struct reading *r, const char *at, const char *end)
{
    struct entry e;
    if (memchr(at, 0, (size_t)(end - at)))
        return refuse(r, "a NUL byte: a list is a plain text file");
    const char *comment = memchr(at, '#', (size_t)(end - at));
    end = comment ? comment : end;
    while (next_entry(&at, end, &e)) {
        if (*e.at == '@')
            return refuse(r, "a list file names no further files: write its entries here, or the @ in the setting");
        if (!add_prefix(r, e))
            return false;
    }
    return true;
}

static bool read_lines(struct reading *r, const char *at, size_t length)
{
    const char *end = at + length;
    size_t before = added(r);
    for (r->line = 1; at < end; r->line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!read_line(r, at, newline ? newline : end))
            return false;
        at = newline ? newline + 1 : end;
    }
    r->line = 0;
    if (added(r) > before)
        return true;
    return strcmp(r->setting, "PPSHIM_TRUST") == 0
               ? refuse(r, "has no entry: write one, or PPSHIM_TRUST=none to turn the shim off")
               : refuse(r, "has no entry: write one (192.0.2.0, a documentation address, is nobody)");
}

/* Fills `size` bytes or up to the end of the file; -1 with errno. */
static ssize_t read_whole(int fd, char *buffer, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t n = read(fd, buffer + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

/* Reads the content into `buffer`, one byte larger than the file is said to be. */
static bool read_content(struct reading *r, int fd, const struct stat *before, char *buffer)
{
    struct stat after;
    ssize_t n = read_whole(fd, buffer, (size_t)before->st_size + 1);
    if (n < 0)
        return refuse_for_now(r, "cannot be read", errno);
    bool steady = fstat(fd, &after) == 0 && after.st_size == n && before->st_size == n &&
                  same_time(before->st_mtim, after.st_mtim);
    if (!steady)
        return refuse(r, "changed while it was read: write a new file and rename it into place");
    return read_lines(r, buffer, (size_t)n);
}

static bool read_open_file(struct reading *r, struct file *f, int fd)
{
    struct stat st;
    if (fstat(fd, &st))
        return refuse_for_now(r, "cannot be looked at", errno);
    if (!S_ISREG(st.st_mode))
        return refuse(r, "not a regular file: name one");
    if (st.st_size > FILE_SIZE_MAX)
        return refuse(r, "%lld bytes are too many for a list: %d MiB are the most", (long long)st.st_size,
                      FILE_SIZE_MAX >> 20);
    size_t size = (size_t)st.st_size + 1;
    char *buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        return refuse_for_now(r, "cannot be read", ENOMEM);
    bool good = read_content(r, fd, &st, buffer);
    munmap(buffer, size);
    f->stamp = stamp_of(&st);
    return good;
}

static int open_file(const struct file *f)
{
    char path[PATH_MAX];
    return open(path_text(f, path), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static bool read_file(struct reading *r, struct file *f)
{
    r->file = f;
    int fd = open_file(f);
    if (fd < 0)
        return refuse_for_now(r, "cannot be opened", errno);
    bool good = read_open_file(r, f, fd);
    real_close(fd);
    r->file = NULL;
    return good;
}

/* --- reading a text --- */

/* NULL: refused. */
static struct file *note_file(struct reading *r, struct entry e)
{
    char shown[96];
    pps_cidr_quote(shown, sizeof shown, e.at, e.length);
    bool good = false;
    if (e.length < 2 || e.at[1] != '/')
        refuse(r, "%s: a file is named by its absolute path: write one like @/etc/ppshim/trust", shown);
    else if (e.length > PATH_MAX)
        refuse(r, "%s: a path of %zu bytes is too long: %d are the most", shown, e.length - 1, PATH_MAX - 1);
    else if (r->list->file_count == FILES_MAX)
        refuse(r, "%s: more than %d files: write fewer, a file may be long", shown, FILES_MAX);
    else
        good = true;
    if (!good)
        return NULL;
    struct file *f = &r->list->files[r->list->file_count++];
    *f = (struct file){.path = e.at + 1, .length = e.length - 1};
    return f;
}

static bool read_entry(struct reading *r, struct entry e)
{
    if (*e.at == '@') {
        struct file *f = note_file(r, e);
        return f && (!r->opens_files || read_file(r, f));
    }
    if (e.length > 1 && memcmp(e.at, "!@", 2) == 0)
        return refuse_list(r, "a file is not taken out as a whole: write ! before its entries");
    if (entry_is(e, "none") && strcmp(r->setting, "PPSHIM_TRUST") == 0)
        return refuse_list(r, "none stands alone: write PPSHIM_TRUST=none to turn the shim off");
    if (entry_is(e, "none"))
        return refuse_list(r, "only PPSHIM_TRUST can be none: leave this one unset");
    return add_prefix(r, e);
}

/* Whether anybody can be in the list. */
static bool has_members(struct reading *r)
{
    if (r->builder.include.prefixes || (r->list->file_count && !r->opens_files))
        return true;
    if (r->builder.exclude.prefixes)
        return refuse_list(r, "exclusions only: write what they are taken out of as well");
    return strcmp(r->setting, "PPSHIM_TRUST") == 0
               ? refuse_list(r,
                             "set but empty: write addresses and CIDRs like 10.0.0.0/8, or none to turn the shim off")
               : refuse_list(r, "set but empty: write addresses and CIDRs like 10.0.0.0/8, or leave it unset");
}

static bool finish(struct reading *r)
{
    char why[96];
    if (!pps_cidr_finish(&r->builder, &r->list->set, why, sizeof why)) {
        r->may_mend = true;
        return refuse_list(r, why);
    }
    if (r->list->set.count || (r->list->file_count && !r->opens_files))
        return true;
    return refuse_list(r, "nobody is left: the exclusions take every address out again");
}

/* On failure nothing is left to free. */
static bool read_list(struct reading *r)
{
    const char *at = r->text, *end = at + strlen(at);
    struct entry e;
    bool good = true;
    while (good && next_entry(&at, end, &e))
        good = read_entry(r, e);
    good = good && has_members(r) && finish(r);
    if (good)
        return true;
    pps_cidr_abandon(&r->builder);
    pps_cidr_free(&r->list->set);
    return false;
}

bool pps_trust_check(const char *setting, const char *text, char error[PPS_ERROR_TEXT])
{
    struct list list = {.file_count = 0};
    struct reading r = {.setting = setting, .text = text, .list = &list, .error = error};
    if (!read_list(&r))
        return false;
    pps_cidr_free(&list.set);
    return true;
}

/* --- all lists --- */

static const char *text_of(const struct pps_config *c, int list)
{
    const char *const text[LISTS] = {c->trust, c->header_optional, c->client_allow, c->client_deny};
    return text[list];
}

static const char *name_of(int list)
{
    static const char *const setting[] = {
#define X(name, text, values, dflt, meaning) text,
        PPS_SETTINGS(X)
#undef X
    };
    static const enum pps_setting of[LISTS] = {PPS_SET_TRUST, PPS_SET_HEADER_OPTIONAL, PPS_SET_CLIENT_ALLOW,
                                               PPS_SET_CLIENT_DENY};
    return setting[of[list]];
}

static bool apart(const struct pps_cidr_set *trust, const struct pps_cidr_set *optional, const char *optional_text,
                  char *error)
{
    struct pps_addr common;
    char shown[96], address[INET6_ADDRSTRLEN];
    if (pps_cidr_disjoint(trust, optional, &common))
        return true;
    bool v4 = pps_addr_is_v4(&common);
    inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? common.ip + 12 : common.ip, address, sizeof address);
    snprintf(error, PPS_ERROR_TEXT, "%s=%s: %s is in %s as well: take it out of one of the two, with !%s for example",
             name_of(OPTIONAL), pps_cidr_quote(shown, sizeof shown, optional_text, strlen(optional_text)), address,
             name_of(TRUST), address);
    return false;
}

/* A list with files is not known here: an exclusion in one may settle what looks like a conflict. */
bool pps_trust_check_apart(const char *trust, const char *header_optional, char error[PPS_ERROR_TEXT])
{
    struct list a = {.file_count = 0}, b = {.file_count = 0};
    struct reading ra = {.setting = name_of(TRUST), .text = trust, .list = &a, .error = error};
    struct reading rb = {.setting = name_of(OPTIONAL), .text = header_optional, .list = &b, .error = error};
    if (strchr(trust, '@') || strchr(header_optional, '@'))
        return true;
    bool good = read_list(&ra) && read_list(&rb) && apart(&a.set, &b.set, header_optional, error);
    pps_cidr_free(&a.set);
    pps_cidr_free(&b.set);
    return good;
}

static void destroy(struct lists *l)
{
    for (int i = 0; i < LISTS; i++)
        pps_cidr_free(&l->list[i].set);
    munmap(l, sizeof *l);
}

static bool fill(struct lists *l, const struct pps_config *c, char *error, bool *may_mend)
{
    for (int i = 0; i < LISTS; i++) {
        struct reading r = {.setting = name_of(i), .text = text_of(c, i), .opens_files = true, .error = error};
        r.list = &l->list[i];
        if (r.text && !read_list(&r)) {
            *may_mend = r.may_mend;
            return false;
        }
    }
    *may_mend = false;
    return apart(&l->list[TRUST].set, &l->list[OPTIONAL].set, c->header_optional, error);
}

/* NULL and an error, or lists nobody else knows yet. */
static struct lists *build(const struct pps_config *c, char *error, bool *may_mend)
{
    struct lists *l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (l == MAP_FAILED) {
        *may_mend = true;
        snprintf(error, PPS_ERROR_TEXT, "%s=...: no memory left for the list", name_of(TRUST));
        return NULL;
    }
    if (fill(l, c, error, may_mend))
        return l;
    destroy(l);
    return NULL;
}

static unsigned lists_with_files(const struct lists *l)
{
    unsigned n = 0;
    for (int i = 0; i < LISTS; i++)
        n += l->list[i].file_count > 0;
    return n;
}

/* --- loading and reloading --- */

/* No handler runs and no cancellation strikes between the two. */
struct quiet {
    sigset_t signals;
    int cancel_state;
};

static void quiet_begin(struct quiet *q)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &q->signals);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &q->cancel_state);
}

static void quiet_end(const struct quiet *q)
{
    pthread_setcancelstate(q->cancel_state, NULL);
    pthread_sigmask(SIG_SETMASK, &q->signals, NULL);
}

bool pps_trust_load(const struct pps_config *config, char error[PPS_ERROR_TEXT])
{
    struct quiet q;
    struct lists *none = NULL;
    bool may_mend;
    if (atomic_load(&current))
        return true;
    quiet_begin(&q);
    struct lists *l = build(config, error, &may_mend);
    /* Two threads may get here at once; the first to publish wins, and neither waits. */
    if (l && !atomic_compare_exchange_strong(&current, &none, l))
        destroy(l);
    else if (l && lists_with_files(l))
        atomic_store(&watched, config);
    quiet_end(&q);
    return atomic_load(&current);
}

static struct stamp look_at(const struct file *f)
{
    char path[PATH_MAX];
    struct stat st;
    if (stat(path_text(f, path), &st))
        return (struct stamp){.error = errno};
    return stamp_of(&st);
}

/* Whether `s` changed so recently that whoever writes it may not be done. A time to come is a clock out of step. */
static bool is_young(const struct stamp *s, unsigned settle_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    long long age_ms = (now.tv_sec - s->ctim.tv_sec) * 1000LL + (now.tv_nsec - s->ctim.tv_nsec) / 1000000;
    return !s->error && age_ms >= 0 && age_ms < settle_ms;
}

/* Brings `seen` up to date. True if some file is not as it was read and all such have settled. */
static bool look_at_all(const struct lists *l, unsigned settle_ms)
{
    bool changed = false, young = false;
    for (int i = 0; i < LISTS; i++) {
        for (unsigned k = 0; k < l->list[i].file_count; k++) {
            struct stamp *s = &seen.of[i][k];
            *s = look_at(&l->list[i].files[k]);
            bool differs = !same_stamp(s, &l->list[i].files[k].stamp);
            changed |= differs;
            young |= differs && is_young(s, settle_ms);
        }
    }
    if (!changed)
        broken_known = false; /* somebody put the old file back */
    return changed && !young;
}

static bool seen_is_broken(const struct lists *l)
{
    for (int i = 0; i < LISTS; i++)
        for (unsigned k = 0; k < l->list[i].file_count; k++)
            if (!same_stamp(&seen.of[i][k], &broken.of[i][k]))
                return false;
    return broken_known;
}

/* "reloaded PPSHIM_TRUST prefixes=12", with the other lists whose files changed behind a comma. */
static void tell_reloaded(const struct lists *old, const struct lists *new, char *news)
{
    size_t n = (size_t)snprintf(news, PPS_ERROR_TEXT, "reloaded");
    const char *between = " ";
    for (int i = 0; i < LISTS; i++) {
        bool changed = false;
        for (unsigned k = 0; k < old->list[i].file_count; k++)
            changed |= !same_stamp(&old->list[i].files[k].stamp, &seen.of[i][k]);
        if (!changed)
            continue;
        n += (size_t)snprintf(news + n, PPS_ERROR_TEXT - n, "%s%s prefixes=%zu", between, name_of(i),
                              new->list[i].set.prefixes);
        between = ", ";
    }
}

static void tell_kept(const struct lists *l, char *news)
{
    const char *kept = lists_with_files(l) > 1 ? "; the old lists stay in force" : "; the old list stays in force";
    size_t room = PPS_ERROR_TEXT - 1 - strlen(kept), n = strlen(news);
    strcpy(news + (n < room ? n : room), kept);
}

/* Frees replaced lists unless a reader might hold one. The count is read after the swap, and a reader counts itself
   before it loads the pointer (all seq_cst): a reader this look misses sees the new lists. */
static void free_retired(void)
{
    if (atomic_load(&readers))
        return;
    while (retired) {
        struct lists *l = retired;
        retired = l->next_retired;
        destroy(l);
    }
}

static void replace(struct lists *old, struct lists *new)
{
    atomic_store(&current, new);
    old->next_retired = retired;
    retired = old;
}

/* By the one thread that looks. True: there is news. */
static bool reload(struct lists *old, char *news, bool *failed)
{
    bool known = seen_is_broken(old);
    if (known && !broken_may_mend)
        return false;
    struct lists *new = build(atomic_load(&watched), news, &broken_may_mend);
    *failed = !new;
    broken_known = !new;
    if (new) {
        tell_reloaded(old, new, news);
        replace(old, new);
        return true;
    }
    broken = seen;
    tell_kept(old, news);
    return !known || !broken_may_mend; /* it could not be read at first, and now its content is wrong */
}

bool pps_trust_look(unsigned settle_ms, char news[PPS_ERROR_TEXT], bool *failed)
{
    struct quiet q;
    bool told = false;
    quiet_begin(&q);
    if (!atomic_exchange(&looking, true)) {
        struct lists *l = atomic_load(&current);
        if (look_at_all(l, settle_ms))
            told = reload(l, news, failed);
        free_retired();
        atomic_store(&looking, false);
    }
    quiet_end(&q);
    return told;
}

/* True for one caller a second. */
static bool is_due(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    uint32_t now = (uint32_t)t.tv_sec * 1000 + (uint32_t)(t.tv_nsec / 1000000);
    uint32_t last = atomic_load_explicit(&last_look_ms, memory_order_relaxed);
    return now - last >= LOOK_EVERY_MS && atomic_compare_exchange_strong(&last_look_ms, &last, now);
}

bool pps_trust_refresh(char news[PPS_ERROR_TEXT], bool *failed)
{
    if (!atomic_load_explicit(&watched, memory_order_relaxed))
        return false;
    return is_due() && pps_trust_look(SETTLE_MS, news, failed);
}

/* --- readers --- */

static const struct lists *enter(void)
{
    reading++;
    atomic_fetch_add(&readers, 1);
    return atomic_load(&current);
}

static void leave(void)
{
    atomic_fetch_sub(&readers, 1);
    reading--;
}

enum pps_trust pps_trust_of(const struct pps_addr *peer)
{
    const struct lists *l = enter();
    bool trusted = pps_cidr_has(&l->list[TRUST].set, peer);
    bool optional = !trusted && pps_cidr_has(&l->list[OPTIONAL].set, peer);
    leave();
    return trusted ? PPS_TRUSTED : optional ? PPS_OPTIONAL : PPS_UNTRUSTED;
}

bool pps_client_allowed(const struct pps_addr *client)
{
    const struct lists *l = enter();
    const struct pps_cidr_set *allow = &l->list[ALLOW].set; /* never empty when the setting is set */
    bool allowed = !pps_cidr_has(&l->list[DENY].set, client) && (!allow->count || pps_cidr_has(allow, client));
    leave();
    return allowed;
}

size_t pps_trust_prefixes(void)
{
    const struct lists *l = enter();
    size_t n = l->list[TRUST].set.prefixes + l->list[OPTIONAL].set.prefixes;
    leave();
    return n;
}

/* Other threads' readers are gone, and so is a look of theirs, at worst with a descriptor and a mapping that leak. This
   thread may be inside a read that a handler interrupted: it still counts. */
void pps_trust_after_fork(void)
{
    atomic_store(&readers, reading);
    atomic_store(&looking, false);
    broken_known = false;
}

/* --- for unit tests --- */

size_t pps_trust_retired(void)
{
    size_t n = 0;
    for (const struct lists *l = retired; l; l = l->next_retired)
        n++;
    return n;
}

void pps_trust_forget(void)
{
    struct lists *l = atomic_exchange(&current, NULL);
    atomic_store(&watched, NULL);
    atomic_store(&last_look_ms, 0);
    broken_known = false;
    free_retired();
    if (l)
        destroy(l);
}
