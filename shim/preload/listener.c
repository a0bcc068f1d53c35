/* SPDX-License-Identifier: MIT
 *
 * listener.c: the table of numbers and the records of governed listeners (listener.h).
 *
 * Both are zero pages until used: an image that listens to nothing touches none of it. The words of the table are
 * atomics that anybody may read at any time; they and the records change under the guard, but for the plain marks of
 * numbers that are no listeners.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <ppshim/client.h>
#include <ppshim/listener.h>
#include <ppshim/lock.h>
#include <ppshim/log.h>
#include <ppshim/real.h>
#include <ppshim/sockopt.h>
#include <ppshim/state.h>
#include <ppshim/trust.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif
#define NAMES_MAX 256
#define SCANNED 256 /* numbers looked at when the image starts */

_Atomic uint16_t pps_listener_numbers[PPS_NUMBERS_MAX];
static _Atomic int numbers_end;

static struct record {
    _Atomic(struct pps_listener) listener;
    uint64_t cookie;
    unsigned numbers; /* that stand for it; 0: free */
} records[PPS_LISTENERS_MAX];
_Static_assert(sizeof(struct pps_listener) == 8, "read and written whole");

/* Of governed AF_UNIX listeners, each once: few, for a list must have them. Complete before a record names one. */
static struct pps_unix_name names[NAMES_MAX];
static unsigned names_count;

static bool first_governed = true;
static bool (*in_use)(unsigned index);

void pps_listener_ask_before_reuse(bool (*is_in_use)(unsigned index))
{
    in_use = is_in_use;
}

static void (*closed_unseen)(int fd);

void pps_listener_tell_of_unseen_closes(void (*tell)(int fd))
{
    closed_unseen = tell;
}

/* --- the table --- */

static void set_word(int fd, unsigned word)
{
    if (fd < 0 || fd >= PPS_NUMBERS_MAX)
        return;
    atomic_store_explicit(&pps_listener_numbers[fd], (uint16_t)word, memory_order_release);
    int end = atomic_load_explicit(&numbers_end, memory_order_relaxed);
    while (word != PPS_FD_UNKNOWN && end <= fd && !atomic_compare_exchange_weak(&numbers_end, &end, fd + 1))
        ;
}

void pps_listener_mark(int fd, enum pps_fd_kind kind)
{
    if (pps_listener_word(fd) != kind)
        set_word(fd, kind);
}

int pps_listener_fd_end(void)
{
    return atomic_load_explicit(&numbers_end, memory_order_relaxed);
}

bool pps_listener_is_older(const struct pps_listener *l, uint16_t generation)
{
    return generation && (int16_t)(uint16_t)(l->generation - generation) < 0;
}

uint16_t pps_listener_next_generation(const struct pps_listener *l)
{
    uint16_t next = (uint16_t)(l->generation + 1);
    return next ? next : 1; /* 0: no listener */
}

bool pps_listener_same(const struct pps_listener *a, const struct pps_listener *b)
{
    return a->index == b->index && a->generation == b->generation;
}

/* --- what the kernel says --- */

struct facts {
    struct pps_addr local;
    struct pps_unix_name name;
    uint64_t cookie;
    bool listens, tcp, inet6, v6only, is_unix;
};

static bool is_no_listener(int fd)
{
    errno = 0;
    int listens = pps_sockopt(fd, SOL_SOCKET, SO_ACCEPTCONN);
    return listens == 0 || (listens < 0 && errno == ENOTSOCK);
}

static void ask_tcp(int fd, const struct sockaddr_storage *own, struct facts *f)
{
    f->tcp = pps_sockopt_is_tcp(fd);
    f->inet6 = own->ss_family == AF_INET6;
    f->v6only = f->inet6 && pps_sockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY) > 0;
}

/* 0: there is none. */
static uint64_t cookie_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

/* false: not a socket that can be asked. */
static bool ask(int fd, struct facts *f)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    *f = (struct facts){0};
    int listens = pps_sockopt(fd, SOL_SOCKET, SO_ACCEPTCONN);
    f->listens = listens > 0;
    if (!f->listens)
        return listens == 0 || errno == ENOTSOCK;
    if (real_getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        return true;
    if (pps_addr_from_sockaddr(&f->local, (struct sockaddr *)&ss, len))
        ask_tcp(fd, &ss, f);
    else if (pps_unix_name_from_sockaddr(&f->name, (struct sockaddr *)&ss, len))
        f->is_unix = pps_sockopt(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM;
    f->cookie = cookie_of(fd);
    return true;
}

/* --- records; the guard is held --- */

static struct record *record_of(int fd)
{
    unsigned word = pps_listener_word(fd);
    return word >= PPS_FD_GOVERNED ? &records[word - PPS_FD_GOVERNED] : NULL;
}

/* The record of this very listener, or a free one, or NULL when all are taken. */
static struct record *place_for(const struct facts *f)
{
    struct record *unused = NULL;
    for (struct record *r = records; r < records + PPS_LISTENERS_MAX; r++) {
        if (r->numbers && f->cookie && r->cookie == f->cookie)
            return r;
        if (!r->numbers && !unused && !(in_use && in_use((unsigned)(r - records))))
            unused = r;
        if (!r->numbers && !r->cookie) /* never used, so none behind it is */
            break;
    }
    return unused;
}

static unsigned number_of_name(const struct pps_unix_name *name)
{
    for (unsigned i = 0; i < names_count; i++)
        if (pps_unix_name_same(&names[i], name))
            return i;
    if (names_count == NAMES_MAX) /* more than lists hold, by many reloads */
        pps_stop_misconfigured("more unix: listeners than the shim can hold (256): name fewer");
    names[names_count] = *name;
    return names_count++;
}

static void fill(struct record *r, const struct facts *f)
{
    struct pps_listener old = atomic_load(&r->listener);
    struct pps_listener new = {.index = (uint16_t)(r - records),
                               .port = f->is_unix ? (uint16_t)number_of_name(&f->name) : f->local.port,
                               .is_unix = f->is_unix,
                               .inet6 = f->inet6,
                               .v6only = f->v6only,
                               .generation = pps_listener_next_generation(&old)};
    r->cookie = f->cookie ? f->cookie : UINT64_MAX;
    atomic_store(&r->listener, new);
}

static bool drop_number(int fd, struct pps_listener *gone)
{
    struct record *r = record_of(fd);
    set_word(fd, PPS_FD_UNKNOWN);
    if (!r || --r->numbers)
        return false;
    *gone = atomic_load(&r->listener);
    return true;
}

static void add_number(int fd, struct record *r, const struct facts *f)
{
    if (r == record_of(fd))
        return;
    if (!r->numbers++)
        fill(r, f);
    set_word(fd, PPS_FD_GOVERNED + (unsigned)(r - records));
}

/* --- becoming governed --- */

static void say_active(const struct facts *f)
{
    struct pps_line l;
    pps_line_begin(&l, "active");
    pps_line_word(&l, "version", PPS_VERSION);
    pps_line_exe(&l, "exe");
    if (f->is_unix)
        pps_line_listener(&l, "listen", &f->name);
    else
        pps_line_addr(&l, "listen", &f->local);
    pps_line_number(&l, "trust", pps_trust_prefixes());
    pps_line_text(&l, "-prefixes");
    bool whole = pps_config.timeout_ms % 1000 == 0;
    pps_line_number(&l, "timeout", whole ? pps_config.timeout_ms / 1000 : pps_config.timeout_ms);
    pps_line_text(&l, whole ? "s" : "ms");
    pps_line_word(&l, "untrusted", pps_config.reject_untrusted ? "reject" : "pass");
    pps_line_word(&l, "store", pps_peer_store());
    pps_log(PPS_LOG_NOTICE, &l);
}

static void defer_accept(int fd)
{
    int seconds = (int)((pps_config.timeout_ms + 999) / 1000);
    setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
}

static void begin_governing(int fd, const struct facts *f)
{
    char error[PPS_ERROR_TEXT];
    if (first_governed) {
        if (!pps_trust_load(&pps_config, error))
            pps_stop_misconfigured(error);
        say_active(f);
        first_governed = false;
    }
    if (pps_config.defer_accept && f->tcp)
        defer_accept(fd);
}

/* An AF_UNIX listener takes the name that its list has for it. */
static bool is_ours_to_govern(struct facts *f)
{
    if (f->is_unix)
        return pps_trust_names(&pps_config, &f->name);
    return f->tcp && pps_config_governs(&pps_config, f->local.port);
}

/* A number that is of this listener now, or of none: what else it stood for was closed where nobody saw it. */
static void let_go_of_others(int fd, const struct record *r)
{
    bool other_listener = record_of(fd) && record_of(fd) != r;
    if (other_listener || pps_listener_kind(fd) == PPS_FD_EPOLL)
        closed_unseen(fd);
}

/* The guard is held. */
static enum pps_fd_kind meet(int fd)
{
    struct facts f;
    if (!ask(fd, &f))
        return PPS_FD_UNKNOWN;
    struct record *r = NULL;
    if (f.listens && is_ours_to_govern(&f)) {
        r = place_for(&f);
        if (!r) /* more than PPS_LISTENERS_MAX: nothing sensible listens to so many */
            pps_stop_misconfigured("more governed listeners than the shim can hold (4096): name fewer in PPSHIM_PORTS");
        begin_governing(fd, &f);
        let_go_of_others(fd, r);
        add_number(fd, r, &f);
        return PPS_FD_GOVERNED;
    }
    let_go_of_others(fd, NULL);
    set_word(fd, f.listens ? PPS_FD_UNGOVERNED : PPS_FD_OTHER);
    return f.listens ? PPS_FD_UNGOVERNED : PPS_FD_OTHER;
}

/* --- what others call --- */

bool pps_listener_is_open(const struct pps_listener *l)
{
    struct pps_listener now = atomic_load(&records[l->index].listener);
    return records[l->index].numbers && pps_listener_same(&now, l);
}

bool pps_listener_has_lost(const struct pps_listener *l, int fd)
{
    struct record *r = &records[l->index];
    if (record_of(fd) != r || !pps_listener_is_open(l))
        return false;
    errno = 0;
    uint64_t now = cookie_of(fd);
    return now ? now != r->cookie : errno == EBADF || errno == ENOTSOCK;
}

const struct pps_unix_name *pps_listener_name(const struct pps_listener *l)
{
    return &names[l->port];
}

enum pps_fd_kind pps_listener_recheck(int fd, struct pps_listener *out)
{
    struct pps_guard g;
    if (!pps_process_is_owner())
        return PPS_FD_OTHER;
    pps_guard_enter(&g);
    enum pps_fd_kind kind = meet(fd);
    struct record *r = record_of(fd);
    if (r)
        *out = atomic_load(&r->listener);
    pps_guard_leave(&g);
    return r ? PPS_FD_GOVERNED : kind;
}

enum pps_fd_kind pps_listener_find(int fd, struct pps_listener *out)
{
    unsigned word = pps_listener_word(fd);
    if (word == PPS_FD_UNKNOWN && is_no_listener(fd)) {
        enum pps_fd_kind kind = errno == ENOTSOCK ? PPS_FD_NO_SOCKET : PPS_FD_OTHER;
        set_word(fd, kind);
        return kind;
    }
    if (word == PPS_FD_UNKNOWN || word == PPS_FD_INHERITED)
        return pps_listener_recheck(fd, out);
    if (word < PPS_FD_GOVERNED)
        return word;
    *out = atomic_load(&records[word - PPS_FD_GOVERNED].listener);
    return PPS_FD_GOVERNED;
}

/* A server that is given its listener may change its root before it accepts: the lists are read while they can be. What
   is wrong with them is said, and fatal, when it waits or accepts. */
static void try_lists(int fd)
{
    struct facts f;
    char error[PPS_ERROR_TEXT];
    if (ask(fd, &f) && is_ours_to_govern(&f))
        pps_trust_load(&pps_config, error);
}

void pps_listener_scan(void)
{
    struct pollfd open[SCANNED];
    for (int fd = 0; fd < SCANNED; fd++)
        open[fd] = (struct pollfd){.fd = fd};
    if (real_poll(open, SCANNED, 0) < 0) /* RLIMIT_NOFILE is lower still: the first accept finds them */
        return;
    for (int fd = 0; fd < SCANNED; fd++) {
        if (open[fd].revents & POLLNVAL)
            continue;
        bool other = is_no_listener(fd);
        set_word(fd, !other ? PPS_FD_INHERITED : errno == ENOTSOCK ? PPS_FD_NO_SOCKET : PPS_FD_OTHER);
        if (!other)
            try_lists(fd);
    }
}

bool pps_listener_forget(int fd, struct pps_listener *gone)
{
    return drop_number(fd, gone);
}
