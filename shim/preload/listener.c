/* SPDX-License-Identifier: MIT
 *
 * listener.c: gives records to listeners, and numbers to records (listener.h).
 *
 * Records are zero pages until used. They, and the words of governed numbers, change under the lock; the plain marks of
 * numbers that are no listeners do not need it.
 */
#include "listener.h"
#include "lock.h"
#include "record.h"
#include "state.h"
#include <ppshim/govern.h>
#include <ppshim/listener_probe.h>
#include <ppshim/real.h>

#define NAMES_MAX 256
#define SCANNED 256 /* numbers looked at when the image starts */

struct pps_record pps_records[PPS_LISTENERS_MAX];
static _Atomic unsigned records_end;

/* Of governed AF_UNIX listeners, each once: few, for a list must have them. Complete before a record names one. */
static struct pps_unix_name names[NAMES_MAX];
static unsigned names_count;

static bool (*is_in_use)(const struct pps_listener *);
static void (*tell_ended)(const struct pps_listener *);

void pps_listener_start(bool (*in_use)(const struct pps_listener *), void (*ended)(const struct pps_listener *))
{
    is_in_use = in_use;
    tell_ended = ended;
}

struct pps_record *pps_records_end(void)
{
    return pps_records + atomic_load(&records_end);
}

/* --- records; the lock is held --- */

static struct pps_record *record_of_number(int fd)
{
    unsigned word = pps_fd_word(fd);
    return word >= PPS_FD_GOVERNED ? &pps_records[word - PPS_FD_GOVERNED] : NULL;
}

static bool is_free(const struct pps_record *r)
{
    struct pps_listener last = atomic_load(&r->listener);
    return !r->numbers && !(last.generation && is_in_use(&last));
}

/* The record of this very listener, or a free one. */
static struct pps_record *find_record(const struct pps_probe *p)
{
    struct pps_record *unused = NULL;
    for (struct pps_record *r = pps_records; r < pps_records_end(); r++) {
        if (r->numbers && p->cookie && r->cookie == p->cookie)
            return r;
        if (!unused && is_free(r))
            unused = r;
    }
    if (!unused && pps_records_end() < pps_records + PPS_LISTENERS_MAX)
        unused = &pps_records[atomic_fetch_add(&records_end, 1)];
    if (!unused) /* nothing sensible listens to so many */
        pps_stop_misconfigured("more governed listeners than the shim can hold (4096): name fewer in PPSHIM_PORTS");
    return unused;
}

static uint16_t number_of_name(const struct pps_unix_name *name)
{
    for (unsigned i = 0; i < names_count; i++)
        if (pps_unix_name_same(&names[i], name))
            return (uint16_t)i;
    if (names_count == NAMES_MAX) /* more than lists hold, by many reloads */
        pps_stop_misconfigured("more unix: listeners than the shim can hold (256): name fewer");
    names[names_count] = *name;
    return (uint16_t)names_count++;
}

/* Nobody is in it, so all of it can be made new; but a thread that comes from the last one may still look. */
static void fill(struct pps_record *r, const struct pps_probe *p)
{
    struct pps_listener old = atomic_load(&r->listener);
    uint16_t generation = (uint16_t)(old.generation + 1);
    struct pps_listener new = {.index = (uint16_t)(r - pps_records),
                               .generation = generation ? generation : 1,
                               .port = p->is_unix ? number_of_name(&p->name) : p->local.port,
                               .is_unix = p->is_unix,
                               .inet6 = p->inet6,
                               .v6only = p->v6only};
    atomic_store(&r->cookie, p->cookie);
    pps_usage_open(&r->usage);
    pps_leader_open(&r->leader);
    pps_slot_open(&r->held, new.generation);
    atomic_store(&r->listener, new);
}

static bool drop_number(int fd, struct pps_listener *gone)
{
    struct pps_record *r = record_of_number(fd);
    pps_fd_mark(fd, PPS_FD_UNKNOWN);
    if (!r || atomic_fetch_sub(&r->numbers, 1) > 1)
        return false;
    *gone = atomic_load(&r->listener);
    return true;
}

/* *gone: what had the number before, its close unseen. */
static struct pps_record *add_number(int fd, const struct pps_probe *p, struct pps_listener *gone)
{
    struct pps_record *before = record_of_number(fd);
    if (before && p->cookie && before->cookie == p->cookie)
        return before;
    drop_number(fd, gone);
    struct pps_record *r = find_record(p);
    if (!r->numbers)
        fill(r, p);
    atomic_store(&r->lowat, p->lowat);
    atomic_fetch_add(&r->numbers, 1);
    pps_fd_mark(fd, PPS_FD_GOVERNED + (unsigned)(r - pps_records));
    return r;
}

static enum pps_fd_kind enter_number(int fd, const struct pps_probe *p, bool governed, struct pps_listener *out,
                                     struct pps_listener *gone)
{
    if (governed) {
        *out = atomic_load(&add_number(fd, p, gone)->listener);
        return PPS_FD_GOVERNED;
    }
    drop_number(fd, gone);
    pps_fd_mark(fd, p->listens ? PPS_FD_UNGOVERNED : PPS_FD_OTHER);
    return pps_fd_kind(fd);
}

/* --- what others call --- */

struct pps_origin pps_listener_origin(const struct pps_listener *l)
{
    return (struct pps_origin){.unix_name = l->is_unix ? &names[l->port] : NULL,
                               .lowat = atomic_load_explicit(&pps_record_of(l)->lowat, memory_order_relaxed),
                               .port = l->is_unix ? 0 : l->port,
                               .inet6 = l->inet6,
                               .v6only = l->v6only};
}

bool pps_listener_is_open(const struct pps_listener *l)
{
    const struct pps_record *r = pps_record_of(l);
    return pps_record_is_of(r, l) && atomic_load(&r->numbers);
}

enum pps_fd_kind pps_listener_recheck(int fd, struct pps_listener *out)
{
    struct pps_lock lock;
    struct pps_probe p;
    struct pps_listener gone = {0};
    if (!pps_probe(fd, &p))
        return PPS_FD_UNKNOWN;
    bool governed = p.listens && pps_govern_wants(&pps_config, &p);
    char error[PPS_ERROR_TEXT];
    if (governed && !pps_govern_begin(&pps_config, fd, &p, error))
        pps_stop_misconfigured(error);
    if (p.listens && !governed)
        pps_govern_pass_over(&pps_config, &p);
    pps_lock_enter(&lock);
    enum pps_fd_kind kind = enter_number(fd, &p, governed, out, &gone);
    pps_lock_leave(&lock);
    if (gone.generation)
        tell_ended(&gone);
    return kind;
}

enum pps_fd_kind pps_listener_find(int fd, struct pps_listener *out)
{
    bool no_socket;
    unsigned word = pps_fd_word(fd);
    if (word == PPS_FD_UNKNOWN && pps_probe_is_no_listener(fd, &no_socket)) {
        pps_fd_mark(fd, no_socket ? PPS_FD_NO_SOCKET : PPS_FD_OTHER);
        return no_socket ? PPS_FD_NO_SOCKET : PPS_FD_OTHER;
    }
    if (word == PPS_FD_UNKNOWN || word == PPS_FD_INHERITED)
        return pps_listener_recheck(fd, out);
    if (word < PPS_FD_GOVERNED)
        return word;
    *out = atomic_load(&pps_records[word - PPS_FD_GOVERNED].listener);
    return PPS_FD_GOVERNED;
}

enum pps_fd_kind pps_listener_confirm(int fd, struct pps_listener *out)
{
    enum pps_fd_kind kind = pps_listener_find(fd, out);
    if (kind != PPS_FD_GOVERNED)
        return kind;
    uint64_t cookie = pps_probe_cookie(fd);
    return cookie && cookie == pps_record_of(out)->cookie ? kind : pps_listener_recheck(fd, out);
}

void pps_listener_scan(void)
{
    struct pollfd open[SCANNED];
    for (int fd = 0; fd < SCANNED; fd++)
        open[fd] = (struct pollfd){.fd = fd};
    if (real_poll(open, SCANNED, 0) < 0) /* RLIMIT_NOFILE is lower still: the first accept finds them */
        return;
    for (int fd = 0; fd < SCANNED; fd++) {
        bool no_socket;
        if (open[fd].revents & POLLNVAL)
            continue;
        bool other = pps_probe_is_no_listener(fd, &no_socket);
        pps_fd_mark(fd, !other ? PPS_FD_INHERITED : no_socket ? PPS_FD_NO_SOCKET : PPS_FD_OTHER);
        if (!other)
            pps_govern_prepare(&pps_config, fd);
    }
}

bool pps_listener_forget(int fd, struct pps_listener *gone)
{
    return drop_number(fd, gone);
}
