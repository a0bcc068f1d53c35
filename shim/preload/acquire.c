/* SPDX-License-Identifier: MIT
 *
 * acquire.c: takes connections in, and finds the one that a wait tells of (acquire.h).
 */
#include <errno.h>
#include <ppshim/acquire.h>
#include <ppshim/deadline.h>
#include <ppshim/fd_close.h>
#include <ppshim/held.h>
#include <ppshim/interest.h>
#include <ppshim/lock.h>
#include <ppshim/log.h>
#include <ppshim/parked.h>
#include <ppshim/real.h>
#include <pthread.h>

/* How many connections a wait looks at before it goes back to the kernel, so that a flood of bad ones is shared. */
#define TRIES 64

/* --- taking in --- */

static void refresh_trust(void)
{
    char news[PPS_ERROR_TEXT];
    bool failed;
    struct pps_line l;
    if (!pps_trust_refresh(news, &failed))
        return;
    pps_line_begin(&l, news);
    pps_log(failed ? PPS_LOG_ERROR : PPS_LOG_NOTICE, &l);
}

bool pps_settle_make_room(void)
{
    struct pps_conn oldest;
    if (!pps_park_evict(&oldest))
        return false;
    pps_admit_close(&oldest, PPS_REASON_TOO_MANY_PENDING);
    return true;
}

uint64_t pps_settle_expire(void)
{
    struct pps_conn c;
    enum pps_reason why;
    int cancel_state;
    uint64_t soonest = pps_park_soonest();
    if (soonest == PPS_NEVER || soonest > pps_now())
        return soonest;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    while (pps_park_expire(&c, &why))
        pps_admit_close(&c, why);
    pthread_setcancelstate(cancel_state, NULL);
    soonest = pps_park_soonest();
    return soonest > pps_now() ? soonest : PPS_NEVER; /* a vfork child has none of its own */
}

static void park(struct pps_conn *c, int flags)
{
    while (pps_park_full() && pps_settle_make_room())
        ;
    enum pps_reason why;
    if (!pps_park_put(c, flags, &why))
        pps_admit_close(c, why);
}

bool pps_settle_take_in(const struct pps_listener *l, int fd, const struct sockaddr *peer, socklen_t peer_len,
                        int flags, unsigned forks, struct pps_signals *signals, struct pps_conn *conn)
{
    uint8_t buf[PPS_ADMIT_STACK];
    enum pps_reason reason;
    pps_closed_unseen(fd);
    refresh_trust();
    enum pps_admission a = pps_admit_begin(conn, l, fd, peer, peer_len, buf, sizeof buf, &reason);
    if (forks != pps_process_forks()) {
        real_close(fd); /* without a shutdown: it is the parent's */
        return false;
    }
    if (a != PPS_ADMIT_READY && signals)
        pps_signals_block(signals); /* the wait will go on: parking takes its time */
    if (a == PPS_ADMIT_WAIT)
        park(conn, flags);
    else if (a == PPS_ADMIT_GONE)
        pps_admit_close(conn, reason);
    return a == PPS_ADMIT_READY;
}

/* --- settling; the place is claimed --- */

static bool one_from_parked(const struct pps_listener *l, int flags, struct pps_conn *conn)
{
    enum pps_reason reason;
    for (int i = 0; i < TRIES; i++) {
        enum pps_park_event event = pps_park_next(l, flags, conn, &reason);
        if (event != PPS_PARK_GONE)
            return event == PPS_PARK_READY;
        pps_admit_close(conn, reason);
    }
    return false;
}

/* One settling of one listener. */
struct settling {
    const struct pps_listener *l;
    int listener_fd, flags;
    bool readable; /* the kernel just said so */
    struct pps_signals *signals;
    unsigned forks; /* a child that returns into its parent's wait must leave the parent's connections alone */
    struct pps_conn conn;
};

/* -1 and EAGAIN when there is nothing, as far as that can be told beforehand. */
static int accept_one(struct settling *s, struct sockaddr *peer, socklen_t *len)
{
    bool may_sleep = pps_process_may_share() && pps_place_is_blocking(s->l, s->listener_fd);
    if ((!s->readable || may_sleep) && !pps_settle_is_readable(s->listener_fd)) {
        errno = EAGAIN;
        return -1;
    }
    s->readable = false;
    if (may_sleep && s->signals)
        return pps_signals_accept4(s->signals, s->listener_fd, peer, len, s->flags);
    return real_accept4(s->listener_fd, peer, len, s->flags);
}

static enum pps_settled after_failure(const struct settling *s, int why)
{
    switch (why) {
    case EINTR:
        return PPS_SETTLED_SIGNAL;
    case EAGAIN:
        return PPS_SETTLED_NOTHING;
    case ECONNABORTED:
        return PPS_SETTLED_MORE;
    case EMFILE:
        return pps_settle_make_room() ? PPS_SETTLED_MORE : PPS_SETTLED_ERROR;
    case EBADF:
    case ENOTSOCK:
    case EOPNOTSUPP:
    case EINVAL:
        if (pps_listener_closed_unseen(s->listener_fd, s->l))
            return PPS_SETTLED_GONE;
    }
    return PPS_SETTLED_ERROR;
}

static enum pps_settled one_from_kernel(struct settling *s)
{
    enum pps_settled result = PPS_SETTLED_MORE;
    for (int i = 0; i < TRIES && result == PPS_SETTLED_MORE && s->forks == pps_process_forks(); i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        int fd = accept_one(s, (struct sockaddr *)&peer, &len);
        if (fd < 0)
            result = after_failure(s, errno);
        else if (pps_settle_take_in(s->l, fd, (struct sockaddr *)&peer, len, s->flags, s->forks, s->signals, &s->conn))
            result = PPS_SETTLED_READY;
    }
    return result;
}

static enum pps_settled fill(struct settling *s)
{
    enum pps_settled result = PPS_SETTLED_READY;
    if (pps_watch_private(s->l) < 0 || !one_from_parked(s->l, s->flags, &s->conn))
        result = one_from_kernel(s);
    if (s->forks != pps_process_forks()) {
        if (result == PPS_SETTLED_READY)
            real_close(s->conn.fd);
        return PPS_SETTLED_NOTHING;
    }
    bool held = pps_place_put(s->l, result == PPS_SETTLED_READY ? &s->conn : NULL, s->flags);
    return held ? result : PPS_SETTLED_NOTHING;
}

/* It may have been the private epoll that fired: nothing is parked in it, but its time can be over. */
static enum pps_settled pass(const struct pps_listener *l, int listener_fd, bool readable)
{
    if (!readable) {
        pps_park_idle(l);
        if (!pps_settle_is_readable(listener_fd))
            return PPS_SETTLED_NOTHING;
    }
    pps_place_pass(l);
    return PPS_SETTLED_PASS;
}

/* --- what others call --- */

enum pps_settled pps_settle(const struct pps_listener *l, int listener_fd, bool readable, struct pps_signals *signals)
{

    struct settling s = {.l = l,
                         .listener_fd = listener_fd,
                         .flags = pps_place_flags(l),
                         .readable = readable,
                         .signals = signals,
                         .forks = pps_process_forks()};
    if (s.flags < 0)
        return pass(l, listener_fd, readable);
    switch (pps_place_claim(l)) {
    case PPS_CLAIMED:
        break;
    case PPS_CLAIM_HELD:
        return PPS_SETTLED_READY;
    case PPS_CLAIM_LEFT:
        return PPS_SETTLED_MORE;
    case PPS_CLAIM_BUSY:
    case PPS_CLAIM_CLOSED:
        return PPS_SETTLED_NOTHING;
    }
    return fill(&s);
}

bool pps_settle_is_readable(int listener_fd)
{
    struct pollfd p = {.fd = listener_fd, .events = POLLIN};
    return real_poll(&p, 1, 0) == 1;
}

bool pps_settle_is_seen(const struct pps_listener *l)
{
    return pps_place_is_seen(l) || pps_watch_any(l);
}
