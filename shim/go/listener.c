/* SPDX-License-Identifier: MIT
 *
 * listener.c: see listener.h.
 */
#include "listener.h"
#include "../preload/fd_table.h"
#include "../preload/fdinfo.h"
#include "../preload/open_fds.h"
#include "state.h"
#include <errno.h>
#include <fcntl.h>
#include <ppshim/admit.h>
#include <ppshim/deadline.h>
#include <ppshim/govern.h>
#include <ppshim/listener_probe.h>
#include <ppshim/real.h>
#include <pthread.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LISTENERS_MAX 1024
#define WATCHES_MAX 4 /* epolls that one listener stands in; Go's runtime has one */
#define SCANNED 256   /* numbers looked at when the program starts */

/* A registration of one of its numbers in one of the program's epolls. */
struct watch {
    int epfd, fd; /* plus one; 0: unused */
    int shown;    /* plus one: the number of the private epoll, or a copy of it, that stands in epfd; 0: none */
    struct epoll_event event;
};

struct record {
    unsigned numbers, generation;
    uint64_t cookie;
    struct pps_unix_name name;
    struct pps_origin origin;
    bool looked_for_watches;
    struct watch watches[WATCHES_MAX];
    struct pps_pending pending;
};

static struct record records[LISTENERS_MAX]; /* zero pages until used */
static unsigned records_end;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* over all of it, and governed words */

static void enter(void)
{
    pthread_mutex_lock(&lock);
}

static void leave(void)
{
    pthread_mutex_unlock(&lock);
}

/* --- the private epoll, in the program's --- */

/* Without a flag that only a listener can have, and without events but those of one that is readable. */
static bool control(const struct watch *w, int op, int private)
{
    struct epoll_event e = {.events = w->event.events & (EPOLLIN | EPOLLET), .data = w->event.data};
    return real_epoll_ctl(w->epfd - 1, op, private, &e) == 0;
}

/* One number stands in an epoll once: where two numbers of the listener do, the second is told by a copy. */
static void show(const struct record *r, struct watch *w)
{
    int private = r->pending.epoll - 1;
    if (!r->pending.epoll || !w->epfd)
        return;
    if (!control(w, EPOLL_CTL_ADD, private) && errno == EEXIST) {
        private = fcntl(private, F_DUPFD_CLOEXEC, 0);
        pps_fd_mark(private, PPS_FD_OURS);
        control(w, EPOLL_CTL_ADD, private);
    }
    w->shown = private + 1;
}

/* Its number, or that of a copy, may be another's by now. */
static void hide(const struct record *r, struct watch *w)
{
    struct pps_pending shown = {.epoll = w->shown, .timer = r->pending.timer};
    if (pps_pending_is_intact(&shown)) {
        control(w, EPOLL_CTL_DEL, w->shown - 1);
        if (w->shown != r->pending.epoll)
            real_close(w->shown - 1);
    }
    w->shown = 0;
}

static void show_all(struct record *r)
{
    for (int i = 0; i < WATCHES_MAX; i++)
        show(r, &r->watches[i]);
}

static void hide_all(struct record *r)
{
    for (int i = 0; i < WATCHES_MAX; i++)
        hide(r, &r->watches[i]);
}

static struct watch *find_watch(struct record *r, int epfd, int fd)
{
    for (struct watch *w = r->watches; w < r->watches + WATCHES_MAX; w++)
        if (w->epfd == epfd && w->fd == fd)
            return w;
    return NULL;
}

static void set_watch(struct record *r, int epfd, int fd, const struct epoll_event *event)
{
    struct watch *w = find_watch(r, epfd + 1, fd + 1);
    if (!w)
        w = find_watch(r, 0, 0);
    if (!w) /* a stranger with so many: its pending ones wake it by the epolls that are known */
        return;
    hide(r, w);
    *w = (struct watch){.epfd = epfd + 1, .fd = fd + 1, .event = *event};
    show(r, w);
}

static void drop_watch(struct record *r, int epfd, int fd)
{
    struct watch *w = find_watch(r, epfd + 1, fd + 1);
    if (!w)
        return;
    hide(r, w);
    *w = (struct watch){0};
}

/* --- registrations that were made unseen: by the program's C code, or of a number whose close we missed --- */

struct look {
    struct record *record;
    int fd, epfd;
};

static bool meet_registration(void *context, int fd, const struct epoll_event *event)
{
    struct look *look = context;
    if (fd == look->fd)
        set_watch(look->record, look->epfd, fd, event);
    return fd == look->fd;
}

static void look_into(int fd, void *context)
{
    struct look *look = context;
    look->epfd = fd;
    pps_fdinfo_epoll(fd, meet_registration, look);
}

static void look_for_watches(struct record *r, int fd)
{
    struct look look = {r, fd, -1};
    if (r->looked_for_watches)
        return;
    r->looked_for_watches = true;
    for (int i = 0; i < WATCHES_MAX; i++)
        if (r->watches[i].epfd)
            return;
    pps_open_fds_by_proc(look_into, &look);
}

/* --- the private epoll itself --- */

static void close_private(struct record *r)
{
    hide_all(r);
    if (r->pending.epoll) {
        real_close(r->pending.epoll - 1);
        real_close(r->pending.timer - 1);
    }
    r->pending.epoll = r->pending.timer = 0;
}

static bool open_private(struct record *r)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    r->pending.epoll = epoll + 1;
    r->pending.timer = timer + 1;
    if (epoll >= 0 && timer >= 0 && pps_pending_begin(&r->pending, &pps_go_config)) {
        pps_fd_mark(epoll, PPS_FD_OURS);
        pps_fd_mark(timer, PPS_FD_OURS);
        show_all(r);
        return true;
    }
    if (epoll >= 0)
        real_close(epoll);
    if (timer >= 0)
        real_close(timer);
    r->pending.epoll = r->pending.timer = 0;
    return false;
}

/* --- records; the lock is held --- */

static struct record *record_of_number(int fd)
{
    unsigned word = pps_fd_word(fd);
    return word >= PPS_FD_GOVERNED ? &records[word - PPS_FD_GOVERNED] : NULL;
}

static struct record *record_of(const struct pps_go_listener *l)
{
    struct record *r = &records[l->index];
    return r->numbers && r->generation == l->generation ? r : NULL;
}

static struct record *find_record(uint64_t cookie)
{
    struct record *unused = NULL;
    for (struct record *r = records; r < records + records_end; r++) {
        if (r->numbers && cookie && r->cookie == cookie)
            return r;
        if (!r->numbers && !r->pending.count)
            unused = r;
    }
    if (unused || records_end == LISTENERS_MAX)
        return unused;
    return &records[records_end++];
}

static void fill(struct record *r, const struct pps_probe *p)
{
    *r = (struct record){.generation = r->generation + 1, .cookie = p->cookie, .name = p->name};
    r->origin = (struct pps_origin){.unix_name = p->is_unix ? &r->name : NULL,
                                    .lowat = p->lowat,
                                    .port = p->is_unix ? 0 : p->local.port,
                                    .inet6 = p->inet6,
                                    .v6only = p->v6only};
}

static void describe(const struct record *r, struct pps_go_listener *out)
{
    *out = (struct pps_go_listener){(unsigned)(r - records), r->generation, r->origin, r->pending.count};
}

/* Its number is nobody's from here on. True: it was the last of the listener's. */
static bool drop_number(int fd)
{
    struct record *r = record_of_number(fd);
    pps_fd_mark(fd, PPS_FD_UNKNOWN);
    return r && --r->numbers == 0;
}

static bool add_number(int fd, const struct pps_probe *p, struct pps_go_listener *out)
{
    struct record *r = record_of_number(fd);
    if (!r || !p->cookie || r->cookie != p->cookie) {
        drop_number(fd);
        r = find_record(p->cookie);
        if (!r)
            return false;
        if (!r->numbers)
            fill(r, p);
        r->numbers++;
        pps_fd_mark(fd, PPS_FD_GOVERNED + (unsigned)(r - records));
    }
    r->origin.lowat = p->lowat;
    describe(r, out);
    return true;
}

/* --- what others call --- */

bool pps_go_listener_meet(int fd, struct pps_go_listener *out)
{
    struct pps_probe p;
    char error[PPS_ERROR_TEXT];
    if (!pps_probe(fd, &p))
        return false;
    if (!p.listens || !pps_govern_wants(&pps_go_config, &p)) {
        if (p.listens)
            pps_govern_pass_over(&pps_go_config, &p);
        pps_go_listener_forget(fd);
        pps_fd_mark(fd, p.listens ? PPS_FD_UNGOVERNED : PPS_FD_OTHER);
        return false;
    }
    if (!pps_govern_begin(&pps_go_config, fd, &p, error))
        pps_go_stop(error);
    enter();
    bool added = add_number(fd, &p, out);
    leave();
    if (!added)
        pps_go_stop("more governed listeners than the shim can hold (1024): name fewer in PPSHIM_PORTS");
    return true;
}

bool pps_go_listener_find(int fd, struct pps_go_listener *out)
{
    enter();
    const struct record *r = record_of_number(fd);
    if (r)
        describe(r, out);
    leave();
    if (r)
        return true;
    enum pps_fd_kind kind = pps_fd_kind(fd);
    return (kind == PPS_FD_UNKNOWN || kind == PPS_FD_INHERITED) && pps_go_listener_meet(fd, out);
}

void pps_go_listener_scan(void)
{
    struct pollfd open[SCANNED];
    bool no_socket;
    for (int fd = 0; fd < SCANNED; fd++)
        open[fd] = (struct pollfd){.fd = fd};
    if (real_poll(open, SCANNED, 0) < 0) /* RLIMIT_NOFILE is lower still */
        return;
    for (int fd = 0; fd < SCANNED; fd++) {
        if (open[fd].revents & POLLNVAL || pps_probe_is_no_listener(fd, &no_socket))
            continue;
        pps_fd_mark(fd, PPS_FD_INHERITED);
        pps_govern_prepare(&pps_go_config, fd);
    }
}

static bool take_oldest(struct record *r, struct pps_conn *conn)
{
    enter();
    bool taken = pps_pending_take_oldest(&r->pending, conn);
    leave();
    return taken;
}

void pps_go_listener_forget(int fd)
{
    struct pps_conn conn;
    enter();
    struct record *r = record_of_number(fd);
    bool ended = drop_number(fd);
    if (ended)
        close_private(r);
    leave();
    while (ended && take_oldest(r, &conn))
        pps_admit_close(&conn, PPS_REASON_LISTENER_CLOSED);
}

void pps_go_listener_watched(const struct pps_go_listener *l, int epfd, int op, int fd, const struct epoll_event *event)
{
    enter();
    struct record *r = record_of(l);
    if (r && op == EPOLL_CTL_DEL)
        drop_watch(r, epfd, fd);
    else if (r)
        set_watch(r, epfd, fd, event);
    leave();
}

/* --- pending ones --- */

static uint64_t deadline_of(const struct record *r)
{
    return pps_pending_deadline(&r->pending, &pps_go_config);
}

bool pps_go_listener_evict(void)
{
    struct pps_conn conn;
    struct record *oldest = NULL;
    enter();
    for (struct record *r = records; r < records + records_end; r++)
        if (r->pending.count && (!oldest || deadline_of(r) < deadline_of(oldest)))
            oldest = r;
    bool taken = oldest && pps_pending_take_oldest(&oldest->pending, &conn);
    leave();
    if (taken)
        pps_admit_close(&conn, PPS_REASON_TOO_MANY_PENDING);
    return taken;
}

static enum pps_reason put(const struct pps_go_listener *l, int fd, const struct pps_conn *conn, int flags)
{
    struct record *r = record_of(l);
    if (!r)
        return PPS_REASON_LISTENER_CLOSED;
    look_for_watches(r, fd);
    bool room = pps_pending_limit(&pps_go_config) && (r->pending.epoll || open_private(r));
    return room && pps_pending_put(&r->pending, &pps_go_config, conn, flags) ? PPS_REASON_NONE : PPS_REASON_NO_ROOM;
}

void pps_go_listener_park(const struct pps_go_listener *l, int fd, struct pps_conn *conn, int flags)
{
    while (pps_pending_is_full() && pps_go_listener_evict())
        ;
    enter();
    enum pps_reason wrong = put(l, fd, conn, flags);
    leave();
    if (wrong != PPS_REASON_NONE)
        pps_admit_close(conn, wrong);
}

/* One that leaves, or nothing. */
static enum pps_pending_event take_next(const struct pps_go_listener *l, struct pps_conn *conn, int *flags,
                                        enum pps_reason *reason)
{
    struct record *r = record_of(l);
    if (!r || !r->pending.epoll)
        return PPS_PENDING_NOTHING;
    enum pps_pending_event event = pps_pending_next(&r->pending, &pps_go_config, conn, flags, reason);
    if (event == PPS_PENDING_IDLE)
        close_private(r);
    if (event == PPS_PENDING_LOST) { /* its numbers are somebody else's by now */
        hide_all(r);
        r->pending.epoll = r->pending.timer = 0;
        open_private(r);
    }
    return event;
}

bool pps_go_listener_next(const struct pps_go_listener *l, struct pps_conn *conn, int *flags)
{
    enum pps_pending_event event;
    enum pps_reason reason;
    do {
        enter();
        event = take_next(l, conn, flags, &reason);
        leave();
        if (event == PPS_PENDING_GONE)
            pps_admit_close(conn, reason);
    } while (event == PPS_PENDING_GONE || event == PPS_PENDING_LOST);
    return event == PPS_PENDING_READY;
}

int pps_go_listener_private(const struct pps_go_listener *l)
{
    enter();
    const struct record *r = record_of(l);
    int epoll = r ? r->pending.epoll - 1 : -1;
    leave();
    return epoll;
}
