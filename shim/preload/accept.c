/* SPDX-License-Identifier: MIT
 *
 * accept.c: accept4 as the server sees it (accept.h). One call goes round until it has a connection or an error:
 *
 *     held by a wait ------------------------------------------------> GOT
 *     a wait passed the kernel's word on: look, never sleep ---------> GOT, FAILED
 *     non-blocking listener: ask the kernel, then who waits ---------> GOT, FAILED (EAGAIN)
 *     blocking listener, as the leader of its threads (leader.h):
 *         nobody waits for a header: sleep in the real call ---------> GOT, FAILED, again
 *         else sleep on the listener, late and parked ones ----------> GOT, FAILED, again
 *
 * Again: what came is late or parked now, or was closed; the server never hears of it. Across processes nothing watches
 * another's pending connections, and O_NONBLOCK is never touched: it belongs to the listener's other owners too.
 *
 * Cancellation is off except where accept waits. Nothing is locked while it waits.
 */
#include "accept.h"
#include "acquire.h"
#include "fd_close.h"
#include "interest.h"
#include "parked.h"
#include "process.h"
#include "record.h"
#include "state.h"
#include <errno.h>
#include <fcntl.h>
#include <ppshim/admit.h>
#include <ppshim/deadline.h>
#include <ppshim/quiet.h>
#include <ppshim/real.h>
#include <ppshim/sockname.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>

enum step { AGAIN, GOT, FAILED }; /* GOT: in call.conn; FAILED: errno says why */

/* One call of accept4. */
struct call {
    int listener_fd, flags;
    struct sockaddr *sa;
    socklen_t *len, room; /* room: *len as it was at entry */
    struct pps_listener l;
    struct pps_conn conn;
    struct pps_signals signals;
    int cancel_state;   /* the caller's */
    bool begun;         /* the listener's usage knows of it */
    bool must_not_wait; /* a wait told the server what the kernel said, before we could look */
    bool unmet;         /* of a number never met, a wait before this call may have told what the kernel said */
    bool useless;       /* it has met a connection of no use */
    bool parked_unled;  /* it has parked one while another may lead, who sees nobody wait */
    bool asked;         /* deadline is SO_RCVTIMEO's */
    bool among_parked;
    uint64_t started, deadline, believed; /* deadline.h; believed: until when the listener need not be asked */
};

static struct pps_leader *leader_of(const struct call *c)
{
    return &pps_record_of(&c->l)->leader;
}

static struct pps_usage *usage_of(const struct call *c)
{
    return pps_usage_of(&c->l);
}

static enum step fail(int why)
{
    errno = why;
    return FAILED;
}

/* --- handing over --- */

/* As the kernel told it; an AF_UNIX peer that has a name of its own is asked again. */
static void answer_real_peer(const struct call *c)
{
    const struct pps_conn *conn = &c->conn;
    struct sockaddr_storage ss;
    socklen_t length = sizeof ss;
    if (conn->peer_raw_len <= sizeof conn->peer_raw)
        pps_sockname_copy(&conn->peer_raw, conn->peer_raw_len, c->sa, c->len);
    else if (real_getpeername(conn->fd, (struct sockaddr *)&ss, &length) == 0)
        pps_sockname_copy(&ss, length, c->sa, c->len);
    else
        pps_sockname_copy(&conn->peer_raw, sizeof conn->peer_raw.sin6_family, c->sa, c->len);
}

static enum step deliver(struct call *c)
{
    const struct pps_client *client = &c->conn.client;
    sa_family_t family = c->l.inet6 ? AF_INET6 : AF_INET;
    if (c->sa)
        *c->len = c->room; /* as the caller gave it: the kernel may have written there since */
    if (c->sa && client->has_addr) {
        if (!pps_sockname_addr(&client->addr, family, client->v6only, c->sa, c->len)) {
            pps_admit_close(&c->conn, PPS_REASON_CLIENT_NEEDS_INET6);
            return AGAIN;
        }
    } else if (c->sa) {
        answer_real_peer(c);
    }
    pps_fd_mark(c->conn.fd, PPS_FD_OTHER);
    return GOT;
}

/* --- what is known of the listener --- */

static bool is_blocking(const struct call *c)
{
    return pps_usage_is_blocking(usage_of(c), c->listener_fd);
}

/* SO_RCVTIMEO of the listener bounds accept (socket(7)); and O_NONBLOCK, once more: before a long sleep. */
static void ask_listener(struct call *c)
{
    struct timeval t = {0};
    socklen_t len = sizeof t;
    if (c->asked)
        return;
    c->asked = true;
    pps_usage_ask_blocking_again(usage_of(c));
    getsockopt(c->listener_fd, SOL_SOCKET, SO_RCVTIMEO, &t, &len);
    uint64_t ns = (uint64_t)t.tv_sec * PPS_SECOND + (uint64_t)t.tv_usec * 1000;
    if (ns)
        c->deadline = c->started + ns;
}

/* Connections of this listener wait for their header. */
static bool others_wait(const struct call *c)
{
    struct pps_late late;
    if (pps_parked_count(&c->l))
        return true;
    pps_late_gather_none(&late);
    pps_late_gather(&late, &c->l);
    return late.count;
}

/* Among this process's threads one leads, so that what it saw is there for it, unless others wait for it otherwise. */
static bool may_be_taken(const struct call *c)
{
    return pps_process_has_family() || pps_acquire_is_seen(&c->l);
}

/* Whether accept(2) goes on after this error. Which handler ran is not told, so all must have SA_RESTART. */
static bool restarts(struct call *c, int why)
{
    if (why != EINTR)
        return false;
    ask_listener(c);
    bool restart = c->deadline == PPS_NEVER && pps_signals_all_restart();
    errno = why;
    return restart;
}

/* --- sources --- */

/* The real call. `readable`: it was just said to be. Where processes share a blocking listener nobody is late: one that
   watched late ones would be woken with all the others for one connection, lose it to one of them, and sleep in the
   real call with nobody to watch; at the door (parked.h) the kernel wakes one. */
static enum step from_kernel(struct call *c, bool readable)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    unsigned epoch = pps_process_epoch();
    bool exact = c->signals.blocked && is_blocking(c) && (!readable || may_be_taken(c));
    bool watched = is_blocking(c) ? !pps_process_has_family() : pps_acquire_is_seen(&c->l);
    pps_cancel_set(c->cancel_state);
    int fd = exact ? pps_signals_accept4(&c->signals, c->listener_fd, (struct sockaddr *)&peer, &len, c->flags)
                   : real_accept4(c->listener_fd, (struct sockaddr *)&peer, &len, c->flags);
    pps_cancel_off();
    if (fd >= 0)
        return pps_acquire_fresh(&c->l, fd, (struct sockaddr *)&peer, len, c->flags, watched, epoch, &c->signals,
                                 &c->conn)
                   ? deliver(c)
                   : AGAIN;
    int why = errno;
    if (exact && restarts(c, why))
        return AGAIN;
    if (why == EMFILE && others_wait(c) && pps_acquire_make_room())
        return AGAIN; /* pending peers must not cost the server a live one */
    return fail(why);
}

/* Who may be ready: the listener, its private epoll, late ones. */
enum { LISTENER, PARKED, LATE };
struct view {
    struct pollfd fds[LATE + PPS_LATE_MAX];
    struct pps_late late;
};

static void view(struct view *v, const struct call *c, bool with_listener)
{
    int private = pps_parked_count(&c->l) ? pps_interest_private(&c->l) : -1;
    pps_late_gather_none(&v->late);
    pps_late_gather(&v->late, &c->l);
    v->fds[LISTENER] = (struct pollfd){.fd = with_listener ? c->listener_fd : -1, .events = POLLIN};
    v->fds[PARKED] = (struct pollfd){.fd = private, .events = POLLIN};
    memcpy(v->fds + LATE, v->late.fds, v->late.count * sizeof *v->fds);
}

/* Whoever fired, those that wait already first. */
static enum step take_from(struct view *v, struct call *c)
{
    memcpy(v->late.fds, v->fds + LATE, v->late.count * sizeof *v->fds);
    if (pps_acquire_from_late(&v->late, c->flags, &c->conn))
        return deliver(c);
    if (v->fds[PARKED].revents && pps_acquire_from_parked(&c->l, c->flags, &c->conn))
        return deliver(c);
    if (!v->fds[LISTENER].revents)
        return AGAIN;
    if (is_blocking(c) && may_be_taken(c) && !pps_acquire_is_readable(c->listener_fd))
        return AGAIN; /* another was quicker */
    return from_kernel(c, true);
}

/* EAGAIN: nobody is ready. */
static enum step look(struct call *c, bool with_listener)
{
    struct view v;
    view(&v, c, with_listener);
    if (real_poll(v.fds, LATE + v.late.count, 0) > 0)
        return take_from(&v, c);
    return fail(EAGAIN);
}

/* --- leaving --- */

static void resign(const struct call *c)
{
    int saved = errno;
    pps_leader_resign(leader_of(c));
    if (!pps_listener_is_open(&c->l))
        pps_acquire_end(&c->l); /* whoever closed it left to us what we watched */
    errno = saved;
}

/* Late ones are the next wait's, or the next leader's. Only who leads may park them: one that came to lead meanwhile
   would see nobody waiting, and sleep in the real call. */
static void leave_late(const struct call *c)
{
    struct pps_late late;
    int saved = errno;
    bool leads = pps_leader_is_me(leader_of(c));
    pps_late_gather_none(&late);
    pps_late_gather(&late, &c->l);
    if (late.count && !pps_leader_has_followers(leader_of(c)) && (leads || pps_leader_try(leader_of(c)))) {
        pps_acquire_leave_late(&late);
        if (!leads)
            resign(c);
    }
    errno = saved;
}

/* Cancelled. */
static void abandon(void *call)
{
    struct call *c = call;
    leave_late(c);
    resign(c);
    pps_signals_restore(&c->signals);
}

/* --- waiting --- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int sleep_on(const struct call *c, struct view *v, int door, uint64_t left)
{
    struct timespec t = pps_timespec(left);
    struct epoll_event e = {.data.u64 = PPS_DOOR_PARKED};
    if (door < 0)
        return real_ppoll(v->fds, LATE + v->late.count, left == PPS_NEVER ? NULL : &t, c->signals.mask);
    int ready = real_epoll_pwait(door, &e, 1, pps_milliseconds(left), c->signals.mask);
    v->fds[LISTENER].revents = ready > 0 && e.data.u64 == PPS_DOOR_LISTENER;
    v->fds[PARKED].revents = ready > 0 && e.data.u64 == PPS_DOOR_PARKED;
    return ready;
}

/* Sleeps until somebody is ready, with cancellation as the caller has it. */
static enum step wait_for(struct call *c, struct view *v, int door, uint64_t until)
{
    int ready;
    pthread_cleanup_push(abandon, c);
    pps_cancel_set(c->cancel_state);
    pps_signals_sleep(&c->signals);
    ready = sleep_on(c, v, door, pps_time_left(earlier(earlier(until, c->deadline), pps_parked_due())));
    pps_signals_wake(&c->signals);
    pps_cancel_off();
    pthread_cleanup_pop(0);
    int why = errno;
    pps_acquire_expire();
    if (ready >= 0)
        return pps_time_left(c->deadline) || ready ? AGAIN : fail(EAGAIN);
    return restarts(c, why) ? AGAIN : fail(why);
}

/* --- a blocking listener, as the leader --- */

/* What is believed of the listener is good for a short sleep. */
static uint64_t until_asked(struct call *c)
{
    if (c->asked)
        return PPS_NEVER;
    if (!c->believed) {
        c->believed = pps_now() + PPS_LATE_PATIENCE;
        c->among_parked = pps_parked_count(&c->l);
    }
    if (pps_time_left(c->believed))
        return c->believed;
    ask_listener(c);
    if (c->among_parked) /* before this call: their epoll was not looked at for long */
        pps_parked_check(&c->l);
    return PPS_NEVER;
}

static enum step lead_among_waiting(struct call *c)
{
    struct view v;
    pps_signals_block(&c->signals); /* what wakes this thread may come to nothing */
    uint64_t until = until_asked(c);
    if (!is_blocking(c))
        return AGAIN;
    pps_leader_set_watching(leader_of(c), true);
    if (!pps_listener_is_open(&c->l))
        return AGAIN;
    view(&v, c, true);
    int door = -1;
    if (!v.late.count && pps_process_has_family())
        door = pps_parked_door(&c->l, c->listener_fd);
    enum step step = wait_for(c, &v, door, earlier(until, v.late.until));
    pps_leader_set_watching(leader_of(c), false);
    return step == AGAIN ? take_from(&v, c) : step;
}

/* Of a call that has met connections of no use before, SO_RCVTIMEO bounds the whole, not each. */
static enum step lead_in_kernel(struct call *c)
{
    struct view v = {.fds = {{.fd = c->listener_fd, .events = POLLIN}, {.fd = -1}}};
    if (c->useless)
        ask_listener(c);
    enum step step = c->deadline != PPS_NEVER ? wait_for(c, &v, -1, PPS_NEVER) : GOT;
    if (step == FAILED || (step == AGAIN && !v.fds[LISTENER].revents))
        return step;
    pthread_cleanup_push(abandon, c);
    step = from_kernel(c, false);
    pthread_cleanup_pop(0);
    return step;
}

static enum step follow(struct call *c)
{
    ask_listener(c);
    pps_cancel_set(c->cancel_state);
    int why = pps_leader_follow(leader_of(c), &c->l, c->deadline);
    pps_cancel_off();
    return !why ? GOT : why == ESTALE ? AGAIN : fail(why);
}

/* While this thread slept as a follower a connection may have come to be held, and before it led the number may have
   become another listener's; and the child of a fork leads no more. */
static bool may_lead(const struct call *c)
{
    return pps_leader_is_me(leader_of(c)) && pps_listener_is_open(&c->l) && !pps_acquire_is_held(&c->l);
}

/* Where a wait may have told the server of it, there is nothing to wait for. */
static void met_useless(struct call *c)
{
    c->useless = true;
    c->must_not_wait |= c->unmet;
}

/* What comes to nothing does not end its turn: a signal that comes while the turn passes on ends nobody's accept. */
static enum step lead_on(struct call *c)
{
    enum step step = AGAIN;
    while (step == AGAIN && !c->must_not_wait && may_lead(c) && is_blocking(c)) {
        step = others_wait(c) ? lead_among_waiting(c) : lead_in_kernel(c);
        met_useless(c);
    }
    return step;
}

/* The leader may sleep in the real call, where nobody can tell it who waits here: this thread watches too, until it
   leads. The listener as well, which the leader is in: when that fires, one of the two leads again. */
static enum step watch_beside(struct call *c)
{
    struct view v;
    ask_listener(c);
    pps_signals_block(&c->signals);
    view(&v, c, true);
    enum step step = wait_for(c, &v, -1, v.late.until);
    v.fds[LISTENER].revents = 0;
    return step == AGAIN ? take_from(&v, c) : step;
}

static enum step lead(struct call *c)
{
    bool led_already = pps_leader_is_me(leader_of(c));
    enum step step = GOT;
    if (!led_already && !pps_leader_try(leader_of(c))) {
        if (c->parked_unled && others_wait(c))
            return watch_beside(c);
        step = follow(c);
    }
    if (step != GOT)
        return step;
    step = lead_on(c);
    if (step != AGAIN)
        leave_late(c);
    if (!led_already)
        resign(c);
    return step;
}

/* --- the other ways --- */

/* A server that waits for its listener where we see it will be woken when a header completes; for one that waits by
   other means (raw system calls, io_uring) the header is waited for here, PPSHIM_TIMEOUT at most, unless somebody else
   is ready first. */
static enum step without_blocking(struct call *c)
{
    enum step step = from_kernel(c, false);
    if (step != FAILED || errno != EAGAIN || !others_wait(c))
        return step;
    step = look(c, false);
    if (step != FAILED || pps_acquire_is_seen(&c->l))
        return step;
    struct view v;
    pps_signals_block(&c->signals);
    pps_usage_ask_blocking_again(usage_of(c));
    if (is_blocking(c))
        return AGAIN;
    c->deadline = c->started + pps_config_timeout(&pps_config);
    view(&v, c, true);
    step = wait_for(c, &v, -1, v.late.until);
    return step == AGAIN ? take_from(&v, c) : step;
}

/* The server was told of a connection that may be a bare probe or a silent peer. It gets what is ready, or an error of
   the kind accept(2) has for connections that went away meanwhile. */
static enum step without_waiting(struct call *c)
{
    enum step step = look(c, true);
    if (step != FAILED || errno != EAGAIN)
        return step;
    pps_usage_ask_blocking_again(usage_of(c));
    return fail(is_blocking(c) ? ECONNABORTED : EAGAIN);
}

static enum step one_round(struct call *c)
{
    if (pps_acquire_held(&c->l, c->flags, &c->conn)) {
        enum step step = deliver(c);
        c->must_not_wait |= step == AGAIN; /* a wait told the server of this one, and it is gone */
        return step;
    }
    if (c->must_not_wait)
        return without_waiting(c);
    return is_blocking(c) ? lead(c) : without_blocking(c);
}

static enum step governed(struct call *c)
{
    if (!c->begun) {
        c->must_not_wait |= pps_usage_accepts(usage_of(c), c->flags);
        pps_usage_visit(usage_of(c));
    }
    c->begun = true;
    enum step step = one_round(c);
    if (step != AGAIN)
        leave_late(c);
    return step;
}

/* --- a listener that is none of ours, as far as is known --- */

/* What looked like no governed listener answered accept all the same: its number was reused behind our back. */
static enum step found_late(struct call *c, int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    pps_interest_adopt(c->listener_fd, &c->l);
    if (real_getpeername(fd, (struct sockaddr *)&peer, &len) != 0) {
        real_close(fd);
        return AGAIN;
    }
    bool ready = pps_acquire_fresh(&c->l, fd, (struct sockaddr *)&peer, len, c->flags, false, pps_process_epoch(),
                                   &c->signals, &c->conn);
    c->parked_unled = !ready;
    return ready ? deliver(c) : AGAIN;
}

static enum step ungoverned(struct call *c, enum pps_fd_kind kind)
{
    pps_signals_restore(&c->signals);
    pps_cancel_set(c->cancel_state);
    c->conn.fd = real_accept4(c->listener_fd, c->sa, c->len, c->flags);
    pps_cancel_off();
    if (c->conn.fd < 0)
        return FAILED;
    if (kind != PPS_FD_UNGOVERNED && pps_listener_recheck(c->listener_fd, &c->l) == PPS_FD_GOVERNED)
        return found_late(c, c->conn.fd);
    pps_fd_closed_unseen(c->conn.fd);
    pps_fd_mark(c->conn.fd, PPS_FD_OTHER);
    return GOT;
}

/* --- what others call --- */

/* The kernel's own checks of the address arguments, which it makes after it took a connection; we make them before. */
static int check_buffer(const struct sockaddr *sa, const socklen_t *len)
{
    if (!sa)
        return 0;
    return !len ? EFAULT : (int)*len < 0 ? EINVAL : 0;
}

/* An epoll that holds it may be inherited too: then that wait told the server what the kernel said. */
static void adopt_inherited(struct call *c)
{
    pps_interest_adopt(c->listener_fd, &c->l);
    c->must_not_wait = pps_interest_is_any(&c->l);
}

static enum step next(struct call *c, enum pps_fd_kind *met)
{
    enum pps_fd_kind before = *met;
    *met = pps_listener_find(c->listener_fd, &c->l);
    if (*met != PPS_FD_GOVERNED)
        return ungoverned(c, *met);
    int wrong = check_buffer(c->sa, c->len);
    if (wrong)
        return fail(wrong);
    if (before == PPS_FD_INHERITED)
        adopt_inherited(c);
    return governed(c);
}

int pps_accept4(int listener_fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    struct call c = {.listener_fd = listener_fd,
                     .sa = sa,
                     .len = len,
                     .room = sa && len ? *len : 0,
                     .flags = flags,
                     .started = pps_now(),
                     .deadline = PPS_NEVER};
    enum pps_fd_kind met = pps_fd_kind(listener_fd);
    enum step step;
    int saved = errno;
    pps_process_notice_fork();
    c.unmet = met == PPS_FD_UNKNOWN;
    c.cancel_state = pps_cancel_off();
    while ((step = next(&c, &met)) == AGAIN)
        met_useless(&c);
    pps_signals_restore(&c.signals);
    pps_cancel_set(c.cancel_state);
    if (step == FAILED)
        return -1;
    errno = saved;
    return c.conn.fd;
}
