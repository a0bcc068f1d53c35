/* SPDX-License-Identifier: MIT
 *
 * limits.c: see limits.h.
 */
#include "events.h"
#include "limit_open.h"
#include "limit_rate.h"
#include <errno.h>
#include <ppshim/deadline.h>
#include <ppshim/limits.h>
#include <ppshim/log.h>
#include <ppshim/real.h>
#include <ppshim/sockopt.h>
#include <ppshim/trust.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

#define RATE_CLIENTS 131072    /* 2 MiB */
#define OPEN_CLIENTS 65536     /* at most, and */
#define OPEN_BYTES (64u << 20) /* of their slots, for as many clients as that is enough for */
#define TELL_EVERY (60 * PPS_SECOND)

/* What an operator hears of the accounts themselves. */
enum news { RATE_FULL, MAX_FULL, MAX_BLIND, NEWS_COUNT };

/* At the head of the mapping; the sets and slots lie behind it. Every process has it at the same address. */
struct accounts {
    struct pps_limit_seed seed;
    struct pps_rate_set *rate;
    uint32_t rate_sets;
    struct pps_open_table open;
    atomic_bool suits;                 /* the kernel can be asked: one listener has shown it */
    atomic_bool bound;                 /* some listener is bound to an interface */
    _Atomic uint64_t told[NEWS_COUNT]; /* when (deadline.h) */
};

static _Atomic(struct accounts *) current;

/* --- the mapping --- */

static uint32_t open_sets(unsigned most)
{
    size_t clients = OPEN_BYTES / (most * sizeof(struct pps_open_slot));
    return (uint32_t)((clients < OPEN_CLIENTS ? clients : OPEN_CLIENTS) / PPS_LIMIT_WAYS);
}

/* Without the kernel's random numbers (before they are ready) the clock and where things lie must do. */
static struct pps_limit_seed new_seed(const void *here)
{
    struct pps_limit_seed seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
        seed = (struct pps_limit_seed){{pps_now(), (uintptr_t)here}};
    return seed;
}

static struct accounts *new_accounts(const struct pps_config *config, size_t *size)
{
    uint32_t rate = config->client_rate.count ? RATE_CLIENTS / PPS_LIMIT_WAYS : 0;
    uint32_t open = config->client_max.count ? open_sets(config->client_max.count) : 0;
    size_t head = (sizeof(struct accounts) + 63) & ~(size_t)63;
    size_t slots = (size_t)open * PPS_LIMIT_WAYS * config->client_max.count;
    *size = head + rate * sizeof(struct pps_rate_set) + open * sizeof(struct pps_open_set) +
            slots * sizeof(struct pps_open_slot);
    char *map = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    struct accounts *a = (struct accounts *)map;
    a->seed = new_seed(map);
    a->rate = (struct pps_rate_set *)(map + head);
    a->rate_sets = rate;
    a->open.sets = (struct pps_open_set *)(a->rate + rate);
    a->open.slots = (struct pps_open_slot *)(a->open.sets + open);
    a->open.count = open;
    a->open.most = config->client_max.count;
    return a;
}

bool pps_limits_begin(const struct pps_config *config, char error[PPS_ERROR_TEXT])
{
    size_t size;
    struct accounts *none = NULL;
    if ((!config->client_rate.count && !config->client_max.count) || atomic_load(&current))
        return true;
    struct accounts *a = new_accounts(config, &size);
    if (!a) {
        snprintf(error, PPS_ERROR_TEXT, "%s: no memory left for the clients' accounts, %zu MiB of address space",
                 pps_settings[config->client_max.count ? PPS_SET_CLIENT_MAX : PPS_SET_CLIENT_RATE].name,
                 (size >> 20) + 1);
        return false;
    }
    if (!atomic_compare_exchange_strong(&current, &none, a)) /* another thread was first */
        munmap(a, size);
    return true;
}

/* --- what the kernel is asked --- */

static bool cookie_of(int fd, uint64_t *cookie)
{
    socklen_t length = sizeof *cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &length) == 0;
}

static bool local_of(int fd, struct pps_addr *local)
{
    struct sockaddr_storage ss;
    socklen_t length = sizeof ss;
    return real_getsockname(fd, (struct sockaddr *)&ss, &length) == 0 &&
           pps_addr_from_sockaddr(local, (struct sockaddr *)&ss, length);
}

static uint16_t bound_to(int fd)
{
    int interface = pps_sockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX);
    return interface > 0 && interface <= UINT16_MAX ? (uint16_t)interface : 0;
}

/* A link-local peer's connection is bound to the interface that the peer is at. */
static uint16_t interface_of(const struct pps_conn *c)
{
    if (c->peer_raw.sin6_family == AF_INET6 && c->peer_raw.sin6_scope_id)
        return c->peer_raw.sin6_scope_id <= UINT16_MAX ? (uint16_t)c->peer_raw.sin6_scope_id : 0;
    return atomic_load_explicit(&atomic_load(&current)->bound, memory_order_relaxed) ? bound_to(c->fd) : 0;
}

static bool describe(const struct pps_conn *c, struct pps_asked *out)
{
    *out = (struct pps_asked){.peer = c->peer, .inode = c->inode};
    if (!cookie_of(c->fd, &out->cookie))
        return false;
    if (c->origin.unix_name)
        return c->inode;
    out->interface = interface_of(c);
    return local_of(c->fd, &out->local);
}

static bool refuse_listener(char *error, enum pps_ask found, int why)
{
    const char *name = pps_settings[PPS_SET_CLIENT_MAX].name;
    if (found == PPS_ASK_ENDED)
        snprintf(
            error, PPS_ERROR_TEXT,
            "%s: the kernel does not find this listener (it has no inet_diag, or the listener is of another network "
            "namespace), so open connections cannot be counted: leave it unset",
            name);
    else
        snprintf(error, PPS_ERROR_TEXT,
                 "%s: the kernel is not to be asked about open connections (netlink: error %d): allow AF_NETLINK, in a "
                 "unit by RestrictAddressFamilies=AF_NETLINK, or leave it unset",
                 name, why);
    return false;
}

bool pps_limits_suit(const struct pps_config *config, int listener, char error[PPS_ERROR_TEXT])
{
    struct accounts *a = atomic_load(&current);
    struct pps_asker asker;
    struct pps_asked self = {.cookie = PPS_ASK_ANY_COOKIE, .interface = bound_to(listener)};
    if (!config->client_max.count)
        return true;
    if (self.interface)
        atomic_store(&a->bound, true);
    if (atomic_load(&a->suits))
        return true;
    if (!local_of(listener, &self.local))
        self.inode = pps_conn_inode(listener);
    pps_ask_begin(&asker);
    enum pps_ask found = pps_ask(&asker, &self);
    int why = errno;
    pps_ask_end(&asker);
    atomic_store(&a->suits, found == PPS_ASK_OPEN);
    return found == PPS_ASK_OPEN || refuse_listener(error, found, why);
}

/* --- the verdict --- */

/* By one process, once a minute. `error`: an errno, or 0. */
static void tell(struct accounts *a, enum news news, int error, uint64_t now)
{
    struct pps_line l;
    uint64_t last = atomic_load(&a->told[news]);
    if ((last && now - last < TELL_EVERY) || !atomic_compare_exchange_strong(&a->told[news], &last, now))
        return;
    pps_line_begin(&l, news == MAX_BLIND ? "limit-blind" : "limit-full");
    pps_line_word(&l, "setting", pps_settings[news == RATE_FULL ? PPS_SET_CLIENT_RATE : PPS_SET_CLIENT_MAX].name);
    if (error)
        pps_line_number(&l, "errno", (uint64_t)error);
    else
        pps_line_number(&l, "clients", PPS_LIMIT_WAYS * (news == RATE_FULL ? a->rate_sets : a->open.count));
    pps_log(PPS_LOG_NOTICE, &l);
}

static bool is_too_fast(struct accounts *a, const struct pps_limit *l, const struct pps_addr *client, uint64_t now)
{
    bool forgot = false;
    bool taken = pps_rate_take(a->rate, a->rate_sets, l, pps_limit_client(l, &a->seed, client), now, &forgot);
    if (forgot)
        tell(a, RATE_FULL, 0, now);
    return !taken;
}

/* What cannot be described was reset meanwhile, or closed by somebody. */
static bool has_too_many(struct accounts *a, const struct pps_limit *l, const struct pps_conn *c,
                         const struct pps_addr *client, uint64_t now)
{
    struct pps_asked asked;
    bool forgot = false;
    if (!describe(c, &asked))
        return false;
    enum pps_open open = pps_open_take(&a->open, pps_limit_client(l, &a->seed, client), &asked, now, &forgot);
    int why = errno;
    if (forgot)
        tell(a, MAX_FULL, 0, now);
    if (open == PPS_OPEN_UNKNOWN)
        tell(a, MAX_BLIND, why, now);
    return open != PPS_OPEN_TAKEN;
}

static bool is_refused(const struct pps_conn *c, const struct pps_limit *l, enum pps_reason reason,
                       const struct pps_addr *client)
{
    if (l->dry_run)
        pps_event_would_reject(c, reason, client);
    return !l->dry_run;
}

enum pps_reason pps_limits_judge(const struct pps_conn *c, const struct pps_config *config,
                                 const struct pps_addr *client)
{
    struct accounts *a = atomic_load_explicit(&current, memory_order_acquire);
    if (!a || (config->limit_exempt && pps_client_exempt(client)))
        return PPS_REASON_NONE;
    const struct pps_limit *rate = &config->client_rate, *max = &config->client_max;
    uint64_t now = pps_now();
    if (rate->count && is_too_fast(a, rate, client, now) && is_refused(c, rate, PPS_REASON_CLIENT_RATE, client))
        return PPS_REASON_CLIENT_RATE;
    if (max->count && has_too_many(a, max, c, client, now) && is_refused(c, max, PPS_REASON_CLIENT_MAX, client))
        return PPS_REASON_CLIENT_MAX;
    return PPS_REASON_NONE;
}
