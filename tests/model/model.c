/* SPDX-License-Identifier: MIT
 *
 * model.c: `model SEED STEPS`: a server that does what servers do with its listeners, and clients that come, speak in
 * pieces and leave, in an order that the seed decides; beside it the few facts that must be true of them, whatever the
 * order: each client that has said its header is given once, by its own listener and name, nobody else is, a wait tells
 * of no listener whose accept has nothing, and no descriptor is left. The same seed does the same again.
 */
#include <behaviour/testing.h>

enum { DOORS = 3, CLIENTS = 24 };

struct door {
    int fd;
    bool registered;
    uint32_t events;
};

struct caller {
    bool used;
    struct client c; /* c.fd is -1: it has left */
    int door, end;   /* end: the server's; -1: it was not given yet */
    char header[96];
    size_t length, said;
    bool was_reset; /* it may be given, nameless, or be gone */
};

static struct door doors[DOORS];
static struct caller callers[CLIENTS];
static int epoll;
static uint64_t state;
static char doing[64];

static unsigned any(unsigned below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % below;
}

static bool one_in(unsigned n)
{
    return any(n) == 0;
}

/* --- the model --- */

static bool has_spoken(const struct caller *k)
{
    return k->used && k->said == k->length;
}

/* It must come. */
static bool is_due(const struct caller *k)
{
    return has_spoken(k) && k->end < 0 && !k->was_reset;
}

static bool is_somebody_due(int door)
{
    for (struct caller *k = callers; k < callers + CLIENTS; k++)
        if (is_due(k) && k->door == door)
            return true;
    return false;
}

static void forget(struct caller *k)
{
    MUST(k->c.fd < 0 || close(k->c.fd) == 0);
    MUST(k->end < 0 || close(k->end) == 0);
    *k = (struct caller){.used = false};
}

/* Whom accept gave: one that is due, or the reset of one that has no name any more. */
static void given(int door, int end)
{
    struct sockaddr_in who;
    socklen_t length = sizeof who;
    bool nameless = getpeername(end, (struct sockaddr *)&who, &length) != 0;
    for (struct caller *k = callers; k < callers + CLIENTS; k++) {
        if (!has_spoken(k) || k->end >= 0 || k->door != door)
            continue;
        if (nameless ? k->was_reset : memcmp(&who, &k->c.in, sizeof who) == 0) {
            k->end = end;
            if (k->was_reset)
                forget(k);
            return;
        }
    }
    fail(__LINE__, "somebody was given who is not due");
}

/* --- what the server does --- */

static void open_door(struct door *d)
{
    d->fd = listener(SOCK_NONBLOCK);
    d->registered = false;
    struct client first = introduced(d->fd);
    struct pollfd p = {.fd = d->fd, .events = POLLIN};
    IS(1, poll(&p, 1, LONG));
    accepts(d->fd, &first);
}

static int take(int door, bool told)
{
    int taken = 0;
    for (int fd; (fd = accept(doors[door].fd, NULL, NULL)) >= 0; taken++)
        given(door, fd);
    MUST(errno == EAGAIN);
    MUST(!told || taken > 0);
    return taken;
}

static void registration(struct door *d)
{
    static const uint32_t kinds[] = {0, EPOLLET, EPOLLONESHOT};
    d->events = EPOLLIN | kinds[any(3)];
    struct epoll_event e = {.events = d->events, .data.u32 = (uint32_t)(d - doors)};
    if (d->registered && one_in(3)) {
        IS(0, epoll_ctl(epoll, EPOLL_CTL_DEL, d->fd, NULL));
        d->registered = false;
        return;
    }
    IS(0, epoll_ctl(epoll, d->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, d->fd, &e));
    d->registered = true;
}

static int wait_in_epoll(int ms)
{
    struct epoll_event e[DOORS];
    int n = epoll_wait(epoll, e, DOORS, ms), taken = 0;
    MUST(n >= 0);
    for (int i = 0; i < n; i++) {
        struct door *d = &doors[e[i].data.u32];
        taken += take((int)e[i].data.u32, true);
        if (d->events & EPOLLONESHOT) {
            struct epoll_event again = {.events = d->events, .data.u32 = e[i].data.u32};
            IS(0, epoll_ctl(epoll, EPOLL_CTL_MOD, d->fd, &again));
        }
    }
    return taken;
}

static int wait_for_one(int door, int ms)
{
    struct pollfd p = {.fd = doors[door].fd, .events = POLLIN};
    unsigned way = any(3);
    if (way == 0 && doors[door].registered)
        return wait_in_epoll(ms);
    int ready = way == 1 ? selected(p.fd, ms) : poll(&p, 1, ms);
    MUST(ready >= 0);
    return ready ? take(door, true) : 0;
}

/* It is used before the other is closed: what nobody used is not known to be a listener, and the first wait for it
   gives the kernel's word. */
static void copy_door(struct door *d)
{
    struct pollfd p = {.fd = dup(d->fd), .events = POLLIN};
    int before = d->fd;
    MUST(p.fd >= 0);
    if (d->registered)
        IS(0, epoll_ctl(epoll, EPOLL_CTL_DEL, d->fd, NULL));
    d->fd = p.fd;
    d->registered = false;
    MUST(poll(&p, 1, 0) >= 0);
    take((int)(d - doors), false);
    MUST(close(before) == 0);
}

/* Whoever was not given hears the end. */
static void close_door(int door)
{
    char byte;
    MUST(close(doors[door].fd) == 0);
    for (struct caller *k = callers; k < callers + CLIENTS; k++) {
        if (!k->used || k->door != door || k->end >= 0)
            continue;
        struct pollfd p = {.fd = k->c.fd, .events = POLLIN};
        MUST(k->c.fd < 0 || (raw_poll(&p, 1, LONG) == 1 && read(k->c.fd, &byte, 1) <= 0));
        forget(k);
    }
}

/* A child that looks at what it has inherited, and ends. */
static void fork_one(int door)
{
    struct pollfd p = {.fd = doors[door].fd, .events = POLLIN};
    int status;
    pid_t child = fork();
    if (child == 0) {
        if (one_in(2))
            poll(&p, 1, 0);
        if (one_in(2))
            close(epoll);
        _exit(0);
    }
    MUST(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

/* --- what clients do --- */

static struct caller *some(bool (*fits)(const struct caller *))
{
    unsigned from = any(CLIENTS);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (fits(&callers[(from + i) % CLIENTS]))
            return &callers[(from + i) % CLIENTS];
    return NULL;
}

static bool is_free(const struct caller *k)
{
    return !k->used;
}

static bool can_speak(const struct caller *k)
{
    return k->used && !has_spoken(k);
}

static bool is_here(const struct caller *k)
{
    return k->used && k->c.fd >= 0;
}

static void come(struct caller *k)
{
    int door = (int)any(DOORS);
    bool direct = one_in(5);
    *k = (struct caller){.used = true, .door = door, .end = -1};
    k->c = dial_from(INADDR_LOOPBACK + !direct, doors[door].fd, "203.0.113.7", false);
    if (direct)
        name_client(&k->c, "127.0.0.1", port_of(k->c.fd));
    else
        k->length =
            (size_t)snprintf(k->header, sizeof k->header, "PROXY TCP4 %s 192.0.2.10 %u 3306\r\n", k->c.ip, k->c.number);
}

static void speak_on(struct caller *k)
{
    size_t left = k->length - k->said, piece = one_in(3) ? left : 1 + any((unsigned)left);
    MUST(write(k->c.fd, k->header + k->said, piece) == (ssize_t)piece);
    k->said += piece;
}

static void leave(struct caller *k)
{
    k->was_reset = one_in(3);
    if (k->was_reset)
        close_at_once(k->c.fd);
    else
        MUST(close(k->c.fd) == 0);
    k->c.fd = -1;
    if (!has_spoken(k) || k->end >= 0)
        forget(k);
}

/* --- a run --- */

static void one_step(void)
{
    unsigned what = any(100);
    int door = (int)any(DOORS);
    struct caller *k;
    snprintf(doing + strlen(doing), sizeof doing - strlen(doing), " %u", what);
    if (what < 25) {
        if ((k = some(is_free)))
            come(k);
    } else if (what < 55) {
        if ((k = some(can_speak)))
            speak_on(k);
    } else if (what < 65) {
        if ((k = some(is_here)))
            leave(k);
    } else if (what < 80) {
        wait_for_one(door, 0);
    } else if (what < 85) {
        take(door, false);
    } else if (what < 91) {
        registration(&doors[door]);
    } else if (what < 94) {
        copy_door(&doors[door]);
    } else if (what < 96) {
        close_door(door);
        open_door(&doors[door]);
    } else if (what < 98) {
        fork_one(door);
    } else {
        usleep(any(30000)); /* late ones are parked */
    }
}

static void all_who_are_due_come(void)
{
    for (int door = 0; door < DOORS; door++)
        while (is_somebody_due(door))
            MUST(wait_for_one(door, LONG) > 0);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;
    name = "model";
    step = doing;
    if (!seed)
        return 64;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, on_alarm);
    alarm(HANGS_AFTER);
    state = seed * UINT64_C(0x9e3779b97f4a7c15);
    int before = open_fds();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (struct door *d = doors; d < doors + DOORS; d++)
        open_door(d);
    for (int i = 0; i < atoi(argv[2]); i++) {
        snprintf(doing, sizeof doing, "seed %llu, step %d:", (unsigned long long)seed, i);
        one_step();
        if (one_in(50))
            all_who_are_due_come();
    }
    strcpy(doing, "the end");
    all_who_are_due_come();
    for (int door = 0; door < DOORS; door++)
        close_door(door);
    for (struct caller *k = callers; k < callers + CLIENTS; k++)
        if (k->used)
            forget(k);
    MUST(close(epoll) == 0);
    IS(before, open_fds());
    printf("ok %s\n", argv[1]);
    return 0;
}
