/* SPDX-License-Identifier: MIT
 *
 * trust_list.c: one list's text and the files it names to a set (trust.h, trust_internal.h).
 *
 * Owns how a list is written, what may be in a file, and the stamps that tell its contents apart. Must never know of
 * other lists, keep a descriptor open, or call malloc (a reload happens inside accept, which servers call from signal
 * handlers). No state of its own: any thread, but one at a time for a list; nothing to do at fork.
 */
#include "text.h"
#include "trust_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <ppshim/real.h>
#include <ppshim/trust.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE_MAX (64 << 20)

struct reading {
    struct pps_list *list;
    bool opens_files;
    bool only_listeners; /* everything else is passed over, and so is what is wrong */
    struct pps_cidr_builder builder;
    const struct pps_list_file *file; /* being read, and the line of it; NULL, 0 */
    unsigned long line;
    enum pps_list_verdict verdict;
    char *error;
};

/* --- what is wrong --- */

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
    int n = snprintf(r->error, PPS_ERROR_TEXT, "%s=%s", r->list->setting, where);
    va_start(args, format);
    vsnprintf(r->error + n, PPS_ERROR_TEXT - (size_t)n, format, args);
    va_end(args);
    r->verdict = PPS_LIST_WRONG;
    return false;
}

/* The same about the list as a whole. */
static bool refuse_list(struct reading *r, const char *what)
{
    char shown[96];
    return refuse(r, "%s: %s", pps_cidr_quote(shown, sizeof shown, r->list->text, strlen(r->list->text)), what);
}

/* About a descriptor, a file or memory that cannot be had now. Not strerror: it may translate, and so allocate. */
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
    enum { KNOWN = sizeof known / sizeof *known };
    int i = 0;
    while (i < KNOWN && known[i].error != error)
        i++;
    if (i < KNOWN)
        refuse(r, "%s: %s", what, known[i].text);
    else
        refuse(r, "%s: error %d", what, error);
    r->verdict = PPS_LIST_NOT_NOW;
    return false;
}

/* The one list that can be `none`; the others are left unset. */
static bool is_trust(const struct reading *r)
{
    return strcmp(r->list->setting, "PPSHIM_TRUST") == 0;
}

static bool takes_names(const struct reading *r)
{
    return strncmp(r->list->setting, "PPSHIM_CLIENT_", 14) == 0;
}

static bool is_of_clients(const struct reading *r)
{
    return takes_names(r) || strcmp(r->list->setting, "PPSHIM_LIMIT_EXEMPT") == 0;
}

/* --- entries that name somebody --- */

#define UNIX "unix:"

bool pps_list_has_listener(const struct pps_list *l, const struct pps_unix_name *name)
{
    for (unsigned i = 0; i < l->listener_count; i++)
        if (pps_unix_name_same(&l->listeners[i], name))
            return true;
    return false;
}

static bool check_listener(struct reading *r, struct pps_text e, struct pps_text name)
{
    char shown[96];
    pps_cidr_quote(shown, sizeof shown, e.at, e.length);
    if (*e.at == '!')
        return refuse(r, "%s: a listener is not taken out of a list: leave its unix: entry away", shown);
    if (is_of_clients(r))
        return refuse(r, "%s: a listener is no client: unix: entries go into PPSHIM_TRUST or PPSHIM_HEADER_OPTIONAL",
                      shown);
    if (name.length < 2 || (*name.at != '/' && *name.at != '@'))
        return refuse(r,
                      "%s: a listener is named by the whole path of its socket: write one like unix:/run/server.sock, "
                      "or unix:@name",
                      shown);
    if (name.length >= PPS_UNIX_NAME_MAX)
        return refuse(r, "%s: a path of %zu bytes is too long for a socket: %d are the most", shown, name.length,
                      PPS_UNIX_NAME_MAX - 1);
    return true;
}

static bool add_listener(struct reading *r, struct pps_text e)
{
    struct pps_text at = {e.at + strlen(UNIX), e.length - strlen(UNIX)};
    if (!check_listener(r, e, at))
        return false;
    struct pps_unix_name name = pps_unix_name_of(at.at, at.length);
    r->list->listeners_written++;
    if (pps_list_has_listener(r->list, &name))
        return true;
    if (r->list->listener_count == PPS_LIST_LISTENERS_MAX)
        return refuse(r, "more than %d unix: entries: write fewer", PPS_LIST_LISTENERS_MAX);
    r->list->listeners[r->list->listener_count++] = name;
    return true;
}

static bool add_name(struct reading *r, struct pps_text e)
{
    char why[280], shown[96];
    pps_cidr_quote(shown, sizeof shown, e.at, e.length);
    if (!takes_names(r))
        return refuse(r,
                      "%s: a client's name: such go into PPSHIM_CLIENT_ALLOW or PPSHIM_CLIENT_DENY, and here stand "
                      "addresses",
                      shown);
    if (*e.at == '!')
        return refuse(r,
                      "%s: a name is not taken out of a list: leave it away, or write it into PPSHIM_CLIENT_DENY, "
                      "which wins",
                      shown);
    if (!pps_name_add(&r->list->names, e.at, e.length, why, sizeof why))
        return refuse(r, "%s", why);
    r->list->names_written++;
    return true;
}

static bool add_prefix(struct reading *r, struct pps_text e)
{
    char why[280];
    return pps_cidr_add(&r->builder, e.at, e.length, why, sizeof why) || refuse(r, "%s", why);
}

static bool add_entry(struct reading *r, struct pps_text e)
{
    if (r->only_listeners) {
        if (pps_text_begins(e, UNIX))
            add_listener(r, e);
        return true;
    }
    size_t mark = *e.at == '!';
    if (pps_name_is(e.at + mark, e.length - mark))
        return add_name(r, e);
    return pps_text_begins(e, UNIX) || pps_text_begins(e, "!" UNIX) ? add_listener(r, e) : add_prefix(r, e);
}

/* --- files --- */

static bool read_line(struct reading *r, struct pps_text line)
{
    struct pps_text e;
    if (memchr(line.at, 0, line.length))
        return refuse(r, "a NUL byte: a list is a plain text file");
    const char *comment = memchr(line.at, '#', line.length);
    if (comment)
        line.length = (size_t)(comment - line.at);
    while (pps_text_next(&line, &e)) {
        if (*e.at == '@' && !r->only_listeners)
            return refuse(r, "a list file names no further files: write its entries here, or the @ in the setting");
        if (!add_entry(r, e))
            return false;
    }
    return true;
}

static size_t added(const struct reading *r)
{
    return r->builder.include.prefixes + r->builder.exclude.prefixes + r->list->listeners_written +
           r->list->names_written;
}

static bool read_lines(struct reading *r, const char *at, size_t length)
{
    const char *end = at + length;
    size_t before = added(r);
    for (r->line = 1; at < end; r->line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        if (!read_line(r, (struct pps_text){at, (size_t)(stop - at)}))
            return false;
        at = newline ? newline + 1 : end;
    }
    r->line = 0;
    if (added(r) > before)
        return true;
    return refuse(r, "has no entry: write one%s",
                  is_trust(r) ? ", or PPSHIM_TRUST=none to turn the shim off"
                              : " (192.0.2.0, a documentation address, is nobody)");
}

static struct pps_stamp stamp_of(const struct stat *st)
{
    return (struct pps_stamp){0, st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim};
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_stamp(const struct pps_stamp *a, const struct pps_stamp *b)
{
    return a->error == b->error && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           same_time(a->mtim, b->mtim) && same_time(a->ctim, b->ctim);
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

/* Reads the content into `buffer`, one byte larger than the file is said to be. That its ctime changed says nothing: it
   does when a new file is renamed over this one. */
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

static bool read_open_file(struct reading *r, struct pps_list_file *f, int fd)
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
    f->read = stamp_of(&st);
    return good;
}

/* check_path bounds the length. */
static const char *path_text(const struct pps_list_file *f, char out[PATH_MAX])
{
    memcpy(out, f->path, f->length);
    out[f->length] = 0;
    return out;
}

static bool read_file(struct reading *r, struct pps_list_file *f)
{
    char path[PATH_MAX];
    r->file = f;
    int fd = open(path_text(f, path), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return refuse_for_now(r, "cannot be opened", errno);
    bool good = read_open_file(r, f, fd);
    real_close(fd);
    r->file = NULL;
    return good;
}

/* --- the text --- */

static bool check_path(struct reading *r, struct pps_text e)
{
    char shown[96];
    pps_cidr_quote(shown, sizeof shown, e.at, e.length);
    if (e.length < 2 || e.at[1] != '/')
        return refuse(r, "%s: a file is named by its absolute path: write one like @/etc/ppshim/trust", shown);
    if (e.length > PATH_MAX)
        return refuse(r, "%s: a path of %zu bytes is too long: %d are the most", shown, e.length - 1, PATH_MAX - 1);
    if (r->list->file_count == PPS_LIST_FILES_MAX)
        return refuse(r, "%s: more than %d files: write fewer, a file may be long", shown, PPS_LIST_FILES_MAX);
    return true;
}

static bool add_file(struct reading *r, struct pps_text e)
{
    if (!check_path(r, e))
        return false;
    struct pps_list_file *f = &r->list->files[r->list->file_count++];
    f->path = e.at + 1;
    f->length = e.length - 1;
    return !r->opens_files || read_file(r, f) || r->only_listeners;
}

static bool read_entry(struct reading *r, struct pps_text e)
{
    if (*e.at == '@')
        return add_file(r, e) || r->only_listeners;
    if (r->only_listeners)
        return add_entry(r, e);
    if (pps_text_begins(e, "!@"))
        return refuse_list(r, "a file is not taken out as a whole: write ! before its entries");
    if (pps_text_is(e, "none"))
        return refuse_list(r, is_trust(r) ? "none stands alone: write PPSHIM_TRUST=none to turn the shim off"
                                          : "only PPSHIM_TRUST can be none: leave this one unset");
    return add_entry(r, e);
}

static bool refuse_empty(struct reading *r)
{
    if (r->builder.exclude.prefixes)
        return refuse_list(r, "exclusions only: write what they are taken out of as well");
    if (is_trust(r))
        return refuse_list(r, "set but empty: write addresses and CIDRs like 10.0.0.0/8, or none to turn the shim off");
    return refuse_list(r, "set but empty: write addresses and CIDRs like 10.0.0.0/8, or leave it unset");
}

/* All entries were read. */
static bool finish(struct reading *r)
{
    char why[96];
    bool has_more = r->list->file_count && !r->opens_files; /* in files that were not read */
    bool has_names = r->list->listener_count || r->list->names.count;
    if (!r->builder.include.prefixes && !has_more && (!has_names || r->builder.exclude.prefixes))
        return refuse_empty(r);
    if (!pps_cidr_finish(&r->builder, &r->list->set, why, sizeof why)) {
        refuse_list(r, why);
        r->verdict = PPS_LIST_NOT_NOW;
        return false;
    }
    return r->list->set.count || has_more || has_names ||
           refuse_list(r, "nobody is left: the exclusions take every address out again");
}

static enum pps_list_verdict read_list(struct pps_list *l, bool opens_files, char *error)
{
    struct reading r = {.list = l, .opens_files = opens_files, .error = error};
    struct pps_text rest = pps_text_of(l->text);
    struct pps_text e;
    bool good = true;
    while (good && pps_text_next(&rest, &e))
        good = read_entry(&r, e);
    if (!good || !finish(&r)) {
        pps_cidr_abandon(&r.builder);
        pps_list_free(l);
    }
    return r.verdict;
}

void pps_list_free(struct pps_list *l)
{
    pps_cidr_free(&l->set);
    pps_name_free(&l->names);
}

enum pps_list_verdict pps_list_read(struct pps_list *l, char error[PPS_ERROR_TEXT])
{
    return read_list(l, true, error);
}

void pps_list_read_listeners(struct pps_list *l)
{
    char error[PPS_ERROR_TEXT];
    struct reading r = {.list = l, .opens_files = true, .only_listeners = true, .error = error};
    struct pps_text rest = pps_text_of(l->text);
    struct pps_text e;
    while (pps_text_next(&rest, &e))
        read_entry(&r, e);
}

bool pps_trust_check(const char *setting, const char *text, char error[PPS_ERROR_TEXT])
{
    struct pps_list l = {.setting = setting, .text = text};
    enum pps_list_verdict verdict = read_list(&l, false, error);
    pps_list_free(&l);
    return verdict == PPS_LIST_GOOD;
}

/* --- looking again --- */

static struct pps_stamp look_at(const struct pps_list_file *f)
{
    char path[PATH_MAX];
    struct stat st;
    if (stat(path_text(f, path), &st))
        return (struct pps_stamp){.error = errno};
    return stamp_of(&st);
}

/* Whether `s` changed so recently that whoever writes it may not be done. A time to come is a clock out of step. */
static bool is_young(const struct pps_stamp *s, unsigned settle_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    long long age_ms = (now.tv_sec - s->ctim.tv_sec) * 1000LL + (now.tv_nsec - s->ctim.tv_nsec) / 1000000;
    return !s->error && age_ms >= 0 && age_ms < settle_ms;
}

void pps_list_look(struct pps_list *l, unsigned settle_ms)
{
    l->changed = l->young = l->moved = false;
    for (unsigned i = 0; i < l->file_count; i++) {
        struct pps_list_file *f = &l->files[i];
        struct pps_stamp now = look_at(f);
        bool changed = !same_stamp(&now, &f->read);
        l->changed |= changed;
        l->young |= changed && is_young(&now, settle_ms);
        l->moved |= !same_stamp(&now, &f->seen);
        f->seen = now;
    }
}
