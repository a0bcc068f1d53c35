/* SPDX-License-Identifier: MIT
 *
 * client_table.c: clients by socket, in memory of this process (client_table.h).
 *
 * A socket is known by what the kernel calls it, so that all its descriptors are one: its cookie, never reused, and its
 * inode number, for an accepted MPTCP socket has the cookie of its listener. So nothing needs to be done at close: the
 * entries of sockets that are gone are only litter. When the table is full it is swept: every descriptor this process
 * has open is looked at, and what no longer is anybody's is left behind when the rest moves into a new table of the
 * size it needs. So none is lost that is in use, and memory follows their number.
 *
 * Threads: an entry never changes once it is live, and a table that was replaced goes when its last reader has left:
 * readers take no lock. Writers have a lock, with signals blocked and cancellation off, inside which nothing waits and
 * no other lock is taken; it may be taken inside the lock. Fork: the child goes on with its copy, whatever another
 * thread was doing to it. A vfork child writes nothing.
 */
#include "client_table.h"
#include "lock.h"
#include "open_fds.h"
#include "process.h"
#include <errno.h>
#include <ppshim/readers.h>
#include <ppshim/sockopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define ROOM_MIN 32     /* for new connections, after a sweep */
#define SWEEPS_MISSED 2 /* a descriptor that another thread moves while we look may be missed; not twice, and again */

struct identity {
    uint64_t cookie; /* 0: the kernel has none */
    uint64_t inode;
};

enum { EMPTY, LIVE, REPLACED };

struct entry {
    _Atomic int state; /* the last thing set: what follows is then whole */
    uint32_t peer_sum;
    struct identity socket;
    struct pps_client client;
    unsigned missed; /* sweeps in a row; the writer's */
};

/* Open addressing: an entry lies at its hash or behind it, up to the first empty place. */
struct table {
    size_t capacity; /* a power of two */
    size_t used;     /* places that are not empty; the writer's, as is the rest */
    size_t full;     /* so many used, and it is swept */
    size_t open;     /* sockets of this process when it was made, about */
    struct table *next_retired;
    struct entry entries[];
};

static _Atomic(struct table *) current;
static atomic_uint readers;
static _Thread_local pps_readers_mine reading;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* over what follows, and over changes */
static struct table *retired;
static unsigned sweeps;

/* --- sockets --- */

/* A file is not asked: one on a network may not answer. */
static bool identify(int fd, struct identity *out)
{
    struct stat st;
    socklen_t len = sizeof out->cookie;
    if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &out->cookie, &len) != 0) {
        if (errno == EBADF || errno == ENOTSOCK)
            return false;
        out->cookie = 0;
    }
    if (fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    out->inode = st.st_ino;
    return true;
}

static bool same(const struct identity *a, const struct identity *b)
{
    return a->cookie == b->cookie && a->inode == b->inode;
}

static size_t hash(const struct identity *socket)
{
    return (size_t)((socket->cookie ^ socket->inode << 32) * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

/* --- one table --- */

static size_t bytes_of(size_t capacity)
{
    return sizeof(struct table) + capacity * sizeof(struct entry);
}

static struct table *make(size_t capacity)
{
    struct table *t = mmap(NULL, bytes_of(capacity), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t == MAP_FAILED)
        return NULL;
    t->capacity = capacity;
    return t;
}

static struct entry *find(struct table *t, const struct identity *socket)
{
    for (size_t i = hash(socket);; i++) {
        struct entry *e = &t->entries[i & (t->capacity - 1)];
        int state = atomic_load_explicit(&e->state, memory_order_acquire);
        if (state == EMPTY)
            return NULL;
        if (state == LIVE && same(&e->socket, socket))
            return e;
    }
}

/* There is an empty place. Counted before it is live: in the child of a fork in between, one is counted too many. */
static struct entry *put(struct table *t, const struct identity *socket, uint32_t peer_sum,
                         const struct pps_client *client)
{
    size_t i = hash(socket);
    while (atomic_load_explicit(&t->entries[i & (t->capacity - 1)].state, memory_order_relaxed) != EMPTY)
        i++;
    struct entry *e = &t->entries[i & (t->capacity - 1)];
    t->used++;
    e->peer_sum = peer_sum;
    e->socket = *socket;
    e->client = *client;
    e->missed = 0;
    atomic_store_explicit(&e->state, LIVE, memory_order_release);
    return e;
}

/* --- sweeping; the lock is held --- */

struct sweep {
    struct table *table;
    size_t open; /* sockets met */
};

static void meet(int fd, void *arg)
{
    struct sweep *s = arg;
    struct identity socket;
    struct entry *e;
    if (!identify(fd, &socket))
        return;
    s->open++;
    if ((e = find(s->table, &socket)))
        e->missed = 0;
}

static bool is_kept(const struct entry *e)
{
    return atomic_load_explicit(&e->state, memory_order_relaxed) == LIVE && e->missed < SWEEPS_MISSED;
}

/* What a sweep found. */
struct census {
    size_t open; /* sockets of this process */
    size_t live; /* of these, with an entry */
    size_t kept; /* entries that stay */
};

static struct census sweep(struct table *t)
{
    struct sweep s = {.table = t};
    struct census c = {0};
    for (struct entry *e = t->entries; e < t->entries + t->capacity; e++)
        e->missed++;
    pps_open_fds(t->open, meet, &s);
    for (const struct entry *e = t->entries; e < t->entries + t->capacity; e++) {
        c.kept += is_kept(e);
        c.live += is_kept(e) && !e->missed;
    }
    c.open = s.open;
    sweeps++;
    return c;
}

static size_t larger_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Each socket that is looked at is paid for by an eighth of a new connection. */
static struct table *make_for(const struct census *c)
{
    size_t room = larger_of(ROOM_MIN, larger_of(c->live / 2, c->open / 8)), capacity = 2 * ROOM_MIN;
    while (capacity < (c->kept + room) / 2 * 3)
        capacity *= 2;
    struct table *t = make(capacity);
    if (!t)
        return NULL;
    t->full = c->kept + room;
    t->open = c->open;
    return t;
}

static void free_retired(void)
{
    while (retired && !pps_readers_inside(&readers)) {
        struct table *t = retired;
        retired = t->next_retired;
        munmap(t, bytes_of(t->capacity));
    }
}

static void publish(struct table *new)
{
    struct table *old = atomic_exchange(&current, new);
    if (old) {
        old->next_retired = retired;
        retired = old;
    }
    free_retired();
}

static void move_kept(const struct table *from, struct table *to)
{
    for (const struct entry *e = from->entries; e < from->entries + from->capacity; e++)
        if (is_kept(e))
            put(to, &e->socket, e->peer_sum, &e->client)->missed = e->missed;
}

static struct table *rebuild(struct table *old)
{
    struct census c = old ? sweep(old) : (struct census){0};
    struct table *new = make_for(&c);
    if (!new)
        return NULL;
    if (old)
        move_kept(old, new);
    publish(new);
    return new;
}

/* A table with room for one more; NULL: memory is short. A full one is filled further then, but never quite: a search
   ends at an empty place. */
static struct table *with_room(void)
{
    struct table *t = atomic_load(&current), *fresh;
    if (t && t->used < t->full)
        return t;
    fresh = rebuild(t);
    if (fresh || !t)
        return fresh;
    return t->used < t->capacity - t->capacity / 8 ? t : NULL;
}

/* The new entry first, then the old one goes: a reader finds one of them. */
static bool store(const struct identity *socket, uint32_t peer_sum, const struct pps_client *client)
{
    struct table *t = with_room();
    if (!t)
        return false;
    struct entry *before = find(t, socket);
    put(t, socket, peer_sum, client);
    if (before)
        atomic_store(&before->state, REPLACED);
    return true;
}

/* --- what client.c calls --- */

static bool remember(int fd, uint32_t peer_sum, const struct pps_client *client)
{
    struct identity socket;
    struct pps_quiet q;
    if (!pps_process_is_owner() || !identify(fd, &socket))
        return false;
    pps_quiet_begin(&q);
    pthread_mutex_lock(&lock);
    bool stored = store(&socket, peer_sum, client);
    pthread_mutex_unlock(&lock);
    pps_quiet_end(&q);
    return stored;
}

static bool recall(int fd, uint32_t peer_sum, struct pps_client *out)
{
    struct identity socket;
    if (!atomic_load_explicit(&current, memory_order_relaxed) || !identify(fd, &socket))
        return false;
    pps_readers_enter(&readers, &reading);
    const struct entry *e = find(atomic_load(&current), &socket);
    bool known = e && e->peer_sum == peer_sum;
    if (known)
        *out = e->client;
    pps_readers_leave(&readers, &reading);
    return known;
}

/* Another thread's rebuild is lost, at worst with a descriptor and a mapping that leak. */
const struct pps_client_store pps_client_table = {remember, recall};

void pps_client_table_after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
    pps_readers_after_fork(&readers, &reading);
}

/* --- for unit tests --- */

struct pps_client_table_state pps_client_table_look(void)
{
    const struct table *t = atomic_load(&current);
    struct pps_client_table_state s = {.sweeps = sweeps};
    if (t) {
        s.capacity = t->capacity;
        s.used = t->used;
    }
    for (t = retired; t; t = t->next_retired)
        s.retired++;
    return s;
}

void pps_client_table_forget(void)
{
    publish(NULL);
    sweeps = 0;
}
