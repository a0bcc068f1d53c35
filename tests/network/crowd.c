/* SPDX-License-Identifier: MIT
 *
 * crowd.c: clients of every kind, many at a time, for tests/behaviour/server.c, which must tell each who it is.
 *
 *     crowd OPTION=VALUE...
 *
 *     to=ADDRESS:PORT        where to; a second one for the other family
 *     trusted=ADDRESS,...    from where those come who are believed
 *     untrusted=ADDRESS,...  and those who are not
 *     trusted-net=FILE       their network, if it is not this program's own (/proc/PID/fd/N)
 *     untrusted-net=FILE
 *     kinds=NAME*N,...       the table below: how often each comes beside the others
 *     count=N                how many come in all
 *     threads=N              at a time
 *     patience=MS            the server's PPSHIM_TIMEOUT: nobody may be closed for his silence before
 *     seed=N
 *
 * prints how many there were of each kind, "there=10 late=7 ...", and says what went wrong, with exit status 1. Who
 * hears nothing from the server (he left) is in the server's own account: it must know him by his SYN.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ADDRESSES = 64, ROOM = 320, HANGS_AFTER = 300 };

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

struct side {
    union address from[ADDRESSES];
    unsigned count;
    int net; /* -1: where the program is */
};
static struct side trusted = {.net = -1}, untrusted = {.net = -1};
static union address to[2];
static unsigned targets;
static long count = 1, threads = 1, patience = 60000, seed = 1;
static int home = -1;

/* One client, from its first packet to its last. */
struct visit {
    const struct side *side;
    const char *kind;
    int fd;
    int64_t begun;    /* ms */
    char own[64];     /* its own name, as the kernel has it */
    char claimed[64]; /* what its header says */
    unsigned char header[ROOM];
    size_t length;
};

/* --- small things --- */

static _Thread_local uint64_t state;

static unsigned any(unsigned below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % below;
}

static int64_t milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static void pause_at_most(unsigned ms)
{
    unsigned us = any(ms * 1000 + 1);
    nanosleep(&(struct timespec){.tv_nsec = us * 1000L}, NULL);
}

__attribute__((format(printf, 2, 3), noreturn)) static void wrong(const struct visit *v, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    errx(1, "%s %s, who says it is %s: %s", v->kind, v->own, v->claimed, text);
}

/* Not v4-mapped: as clients know themselves. */
static void print(char text[64], const union address *a)
{
    char host[INET6_ADDRSTRLEN];
    if (a->any.sa_family == AF_INET)
        snprintf(text, 64, "%s:%u", inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof host), ntohs(a->in.sin_port));
    else
        snprintf(text, 64, "[%s]:%u", inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof host),
                 ntohs(a->in6.sin6_port));
}

static socklen_t length_of(const union address *a)
{
    return a->any.sa_family == AF_INET ? sizeof a->in : sizeof a->in6;
}

/* --- headers --- */

static void v1(struct visit *v, bool six, unsigned port)
{
    v->length = (size_t)sprintf((char *)v->header,
                                six ? "PROXY TCP6 2001:db8::7 2001:db8::10 %u 3306\r\n"
                                    : "PROXY TCP4 203.0.113.7 192.0.2.10 %u 3306\r\n",
                                port);
}

static void v2(struct visit *v, bool six, unsigned port)
{
    static const unsigned char begin[] = "\r\n\r\n\0\r\nQUIT\n\x21";
    unsigned char *at = v->header;
    size_t each = six ? 16 : 4, block = 2 * each + 4;
    memcpy(at, begin, 13);
    at[13] = six ? 0x21 : 0x11;
    at[14] = 0;
    at[15] = (unsigned char)block;
    inet_pton(six ? AF_INET6 : AF_INET, six ? "2001:db8::7" : "203.0.113.7", at + 16);
    inet_pton(six ? AF_INET6 : AF_INET, six ? "2001:db8::10" : "192.0.2.10", at + 16 + each);
    at += 16 + 2 * each;
    at[0] = (unsigned char)(port >> 8);
    at[1] = (unsigned char)port;
    at[2] = 3306 >> 8;
    at[3] = 3306 & 255;
    v->length = 16 + block;
}

/* In either version, for a client of either family, whose port is that of who sends it. */
static void compose(struct visit *v, unsigned version)
{
    unsigned port = (unsigned)atoi(strrchr(v->own, ':') + 1);
    bool six = any(2);
    (version == 1 ? v1 : v2)(v, six, port);
    snprintf(v->claimed, sizeof v->claimed, "%s:%u", six ? "[2001:db8::7]" : "203.0.113.7", port);
}

/* --- what a client does --- */

static void count_one(const char *kind);

/* The thread makes its sockets where they belong. */
static void be_in(int net)
{
    static _Thread_local int now = -1;
    if (net != now && setns(net < 0 ? home : net, CLONE_NEWNET) != 0)
        err(1, "setns");
    now = net;
}

static const union address *target_for(const union address *from)
{
    for (unsigned i = 0; i < targets; i++)
        if (to[i].any.sa_family == from->any.sa_family)
            return &to[i];
    errx(64, "no to= for each family in trusted= and untrusted=");
}

static void learn_own_name(struct visit *v)
{
    union address own;
    socklen_t length = sizeof own;
    if (getsockname(v->fd, &own.any, &length) != 0)
        err(1, "getsockname");
    print(v->own, &own);
}

/* A socket that has its address; the port comes with the connection. */
static const union address *begin(struct visit *v)
{
    static const int on = 1;
    const union address *from = &v->side->from[any(v->side->count)];
    be_in(v->side->net);
    v->begun = milliseconds();
    v->fd = socket(from->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (v->fd < 0 || setsockopt(v->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        setsockopt(v->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
        bind(v->fd, &from->any, length_of(from)) != 0)
        err(1, "socket");
    return target_for(from);
}

static void dial(struct visit *v)
{
    const union address *target = begin(v);
    if (connect(v->fd, &target->any, length_of(target)) != 0)
        err(1, "connect");
    learn_own_name(v);
    compose(v, 1 + any(2));
}

/* The server may have closed: it is asked afterwards. */
static void say(struct visit *v, const void *bytes, size_t length)
{
    if (send(v->fd, bytes, length, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
        err(1, "send");
}

static void say_in_pieces(struct visit *v)
{
    size_t said = 0;
    while (said < v->length) {
        size_t piece = 1 + any((unsigned)(v->length - said));
        say(v, v->header + said, piece);
        said += piece;
        pause_at_most(3);
    }
}

static void leave_by_reset(struct visit *v)
{
    static const struct linger at_once = {.l_onoff = 1};
    setsockopt(v->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(v->fd);
}

/* In either way. */
static void leave(struct visit *v)
{
    if (any(2))
        leave_by_reset(v);
    else
        close(v->fd);
}

/* One line, or what there was until the server ended it; errno then says how, 0 for its FIN. */
static size_t hear(struct visit *v, char *line, size_t room)
{
    size_t heard = 0;
    for (ssize_t n; heard < room - 1 && !memchr(line, '\n', heard); heard += (size_t)n) {
        struct pollfd p = {.fd = v->fd, .events = POLLIN};
        if (poll(&p, 1, HANGS_AFTER * 1000) != 1)
            wrong(v, "heard nothing for %d s", HANGS_AFTER);
        errno = 0;
        n = read(v->fd, line + heard, room - 1 - heard);
        if (n <= 0)
            break;
    }
    line[heard] = 0;
    return heard;
}

/* The word of a line that begins so; v4-mapped ones as IPv4. */
static void word(char text[64], const char *line, const char *key)
{
    const char *at = strstr(line, key);
    char host[64], port[8];
    *text = 0;
    if (at && sscanf(at + strlen(key), "[::ffff:%63[0-9.]]:%7[0-9]", host, port) == 2)
        snprintf(text, 64, "%.15s:%.5s", host, port);
    else if (at)
        sscanf(at + strlen(key), "%63[^ \n]", text);
}

/* The server knows this client as `who`. If it was closed unheard its time must have been over. */
static void is_told(struct visit *v, const char *who)
{
    char line[1024], accepted[64], peer[64];
    if (hear(v, line, sizeof line) == 0) {
        const char *how = errno == 0 ? "FIN" : strerrorname_np(errno);
        int64_t waited = milliseconds() - v->begun;
        if (v->side != &trusted || waited < patience)
            wrong(v, "was closed after %lld ms (%s)", (long long)waited, how);
        v->kind = "overdue";
        close(v->fd);
        return;
    }
    word(accepted, line, " accept=");
    word(peer, line, " peer=");
    if (strcmp(accepted, who) != 0 || strcmp(peer, who) != 0)
        wrong(v, "was told %s", line);
    leave(v);
}

static void is_closed(struct visit *v)
{
    char line[1024];
    if (hear(v, line, sizeof line) != 0)
        wrong(v, "was told %s", line);
    close(v->fd);
}

/* --- those who are trusted --- */

static void be_there(struct visit *v)
{
    dial(v);
    say(v, v->header, v->length);
    is_told(v, v->claimed);
}

static void be_late(struct visit *v)
{
    dial(v);
    pause_at_most(40);
    say(v, v->header, v->length);
    is_told(v, v->claimed);
}

static void be_split(struct visit *v)
{
    dial(v);
    say_in_pieces(v);
    is_told(v, v->claimed);
}

/* A health check, in either version. */
static void be_local(struct visit *v)
{
    static const unsigned char local[16] = "\r\n\r\n\0\r\nQUIT\n\x20";
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    dial(v);
    if (any(2))
        say(v, local, sizeof local);
    else
        say(v, unknown, sizeof unknown - 1);
    is_told(v, v->own);
}

static void be_silent(struct visit *v)
{
    dial(v);
    pause_at_most(40);
    leave(v);
}

static void be_half(struct visit *v)
{
    dial(v);
    say(v, v->header, 1 + any((unsigned)v->length - 1));
    pause_at_most(40);
    leave(v);
}

static void be_reset(struct visit *v)
{
    dial(v);
    say(v, v->header, v->length);
    leave_by_reset(v);
}

static void be_bad(struct visit *v)
{
    static const struct {
        const char *text;
        size_t length;
    } bad[] = {
        {"GET / HTTP/1.0\r\n\r\n", 18},
        {"PROXY TCP4 203.0.113.7 192.0.2.10 65536 3306\r\n", 46},
        {"PROXY TCP4 224.0.0.7 192.0.2.10 4711 3306\r\n", 43},
        {"PROXY TCP4 2001:db8::7 2001:db8::10 4711 3306\r\n", 47},
        {"PROXY  UNKNOWN\r\n", 16},
        {"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0", 16},
        {"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\4\1\2\3\4", 20},
    };
    unsigned one = any(sizeof bad / sizeof *bad);
    dial(v);
    say(v, bad[one].text, bad[one].length);
    is_closed(v);
}

static void be_overdue(struct visit *v)
{
    dial(v);
    if (any(2))
        say(v, v->header, 10);
    is_told(v, "nobody");
}

/* --- those who are not, and say that they are somebody else --- */

static void be_plain(struct visit *v)
{
    dial(v);
    is_told(v, v->own);
}

static void claim_by_v1(struct visit *v)
{
    dial(v);
    compose(v, 1);
    say(v, v->header, v->length);
    is_told(v, v->own);
}

static void claim_by_v2(struct visit *v)
{
    dial(v);
    compose(v, 2);
    say(v, v->header, v->length);
    is_told(v, v->own);
}

static void claim_in_pieces(struct visit *v)
{
    dial(v);
    say_in_pieces(v);
    is_told(v, v->own);
}

/* Header upon header, of both versions, and data. */
static void claim_again_and_again(struct visit *v)
{
    unsigned char bytes[4 * ROOM];
    size_t length = 0;
    dial(v);
    for (unsigned i = any(2); length < 2 * ROOM; i++) {
        compose(v, 1 + i % 2);
        memcpy(bytes + length, v->header, v->length);
        length += v->length;
    }
    say(v, bytes, length);
    is_told(v, v->own);
}

/* With an urgent byte somewhere in it, or before it. */
static void claim_urgently(struct visit *v)
{
    dial(v);
    size_t before = any((unsigned)v->length);
    say(v, v->header, before);
    if (send(v->fd, v->header + before, 1, MSG_OOB | MSG_NOSIGNAL) != 1)
        err(1, "send MSG_OOB");
    say(v, v->header + before + 1, v->length - before - 1);
    is_told(v, v->own);
}

static atomic_long in_syn; /* how many of them the kernel took out of the SYN */

static void dial_with(struct visit *v, bool whole)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    const union address *target = begin(v);
    strcpy(v->own, ":1"); /* its port is not known yet */
    compose(v, 1 + any(2));
    size_t first = whole ? v->length : 1 + any((unsigned)v->length - 1);
    if (sendto(v->fd, v->header, first, MSG_FASTOPEN | MSG_NOSIGNAL, &target->any, length_of(target)) < 0)
        err(1, "sendto MSG_FASTOPEN");
    learn_own_name(v);
    say(v, v->header + first, v->length - first);
    if (getsockopt(v->fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && info.tcpi_options & TCPI_OPT_SYN_DATA)
        in_syn++;
}

/* The header, or its beginning, comes with the SYN. */
static void claim_in_syn(struct visit *v)
{
    dial_with(v, any(2));
    is_told(v, v->own);
}

static void be_in_syn(struct visit *v)
{
    dial_with(v, true);
    is_told(v, v->claimed);
}

/* Is gone before or while the server looks. */
static void claim_and_reset(struct visit *v)
{
    dial(v);
    say(v, v->header, v->length);
    if (any(2))
        pause_at_most(1);
    leave_by_reset(v);
}

/* Takes the number, and the slot, of a trusted client who leaves at this moment: from the server's hands, or while it
   waits for the rest of his header. */
static void claim_in_anothers_place(struct visit *v)
{
    struct visit other = {.side = &trusted, .kind = any(2) ? "there" : "half"};
    dial(&other);
    if (strcmp(other.kind, "there") == 0) {
        say(&other, other.header, other.length);
        is_told(&other, other.claimed);
    } else {
        say(&other, other.header, 1 + any((unsigned)other.length - 1));
        pause_at_most(30);
        leave(&other);
    }
    count_one(other.kind);
    dial(v);
    say(v, v->header, v->length);
    is_told(v, v->own);
}

/* A SYN that says it comes from the balancer, with a header: the answer goes there. */
struct forged {
    struct iphdr ip;
    struct tcphdr tcp;
    unsigned char cookie[12]; /* Fast Open's, guessed; two NOPs before it */
    unsigned char data[ROOM];
};

static uint32_t sum_of(const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    return sum;
}

static uint16_t checksum(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static const union address *inet_among(const union address *list, unsigned length)
{
    for (unsigned i = 0; i < length; i++)
        if (list[i].any.sa_family == AF_INET)
            return &list[i];
    errx(64, "no IPv4 address to forge");
}

static void claim_by_forgery(struct visit *v)
{
    static const char header[] = "PROXY TCP4 203.0.113.66 192.0.2.10 4711 3306\r\n";
    const union address *from = inet_among(trusted.from, trusted.count), *target = inet_among(to, targets);
    size_t length = sizeof(struct tcphdr) + sizeof((struct forged *)0)->cookie + sizeof header - 1;
    struct forged f = {
        .ip = {.version = 4,
               .ihl = 5,
               .ttl = 64,
               .protocol = IPPROTO_TCP,
               .saddr = from->in.sin_addr.s_addr,
               .daddr = target->in.sin_addr.s_addr},
        .tcp = {.source = htons((uint16_t)(1024 + any(30000))),
                .dest = target->in.sin_port,
                .seq = any(1U << 31),
                .doff = 8,
                .syn = 1,
                .window = 0xffff},
        .cookie = {TCPOPT_NOP, TCPOPT_NOP, 34, 10},
    };
    for (unsigned i = 4; i < sizeof f.cookie; i++)
        f.cookie[i] = (unsigned char)any(256);
    memcpy(f.data, header, sizeof header - 1);
    f.tcp.check = checksum(sum_of(&f.ip.saddr, 8) + IPPROTO_TCP + (uint32_t)length + sum_of(&f.tcp, length));
    be_in(v->side->net);
    v->fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (v->fd < 0 || sendto(v->fd, &f, sizeof f.ip + length, 0, &target->any, sizeof target->in) < 0)
        err(1, "a forged packet");
    close(v->fd);
}

/* --- all of them --- */

static const struct kind {
    const char *name;
    const struct side *side;
    void (*be)(struct visit *);
    bool
        waits; /* a worker that sleeps among others sees to it only when it accepts again: somebody must go on coming */
} kinds[] = {
    {"there", &trusted, be_there, false},
    {"late", &trusted, be_late, true},
    {"split", &trusted, be_split, true},
    {"syn", &trusted, be_in_syn, true},
    {"local", &trusted, be_local, false},
    {"silent", &trusted, be_silent, false},
    {"half", &trusted, be_half, false},
    {"reset", &trusted, be_reset, false},
    {"bad", &trusted, be_bad, false},
    {"overdue", &trusted, be_overdue, true},
    {"plain", &untrusted, be_plain, false},
    {"claim-v1", &untrusted, claim_by_v1, false},
    {"claim-v2", &untrusted, claim_by_v2, false},
    {"claim-split", &untrusted, claim_in_pieces, false},
    {"claim-pipelined", &untrusted, claim_again_and_again, false},
    {"claim-urgent", &untrusted, claim_urgently, false},
    {"claim-syn", &untrusted, claim_in_syn, false},
    {"claim-reset", &untrusted, claim_and_reset, false},
    {"claim-reuse", &untrusted, claim_in_anothers_place, false},
    {"claim-forged", &untrusted, claim_by_forgery, false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static unsigned weights[KINDS], all_weights;
static atomic_long were[KINDS], begun, waiting;

static unsigned number_of(const char *name)
{
    unsigned i = 0;
    while (i < KINDS && strcmp(name, kinds[i].name) != 0)
        i++;
    return i;
}

static void count_one(const char *kind)
{
    were[number_of(kind)]++;
}

static unsigned one_of_them(void)
{
    unsigned at = any(all_weights), i = 0;
    while (at >= weights[i])
        at -= weights[i++];
    return i;
}

static void come(const struct kind *k)
{
    struct visit v = {.side = k->side, .kind = k->name};
    k->be(&v);
    count_one(v.kind);
}

static void *keep_coming(void *number)
{
    state = (uint64_t)seed * 1000003 + (uintptr_t)number + 1;
    for (int i = 0; i < 20; i++)
        any(2);
    while (begun++ < count) {
        const struct kind *k = &kinds[one_of_them()];
        waiting += k->waits;
        come(k);
        waiting -= k->waits;
    }
    while (waiting > 0)
        come(&kinds[0]);
    return NULL;
}

static void understand_address(union address *a, char *text)
{
    char *colon = strrchr(text, ':'), *host = text;
    *a = (union address){0};
    if (*text == '[')
        text[strcspn(text, "]")] = 0, host++;
    else if (colon && colon == strchr(text, ':'))
        *colon = 0;
    else
        colon = NULL;
    uint16_t port = htons((uint16_t)(colon ? atoi(colon + 1) : 0));
    if (inet_pton(AF_INET, host, &a->in.sin_addr) == 1)
        a->in.sin_family = AF_INET, a->in.sin_port = port;
    else if (inet_pton(AF_INET6, host, &a->in6.sin6_addr) == 1)
        a->in6.sin6_family = AF_INET6, a->in6.sin6_port = port;
    else
        errx(64, "not an address: %s", host);
}

static void understand_kind(char *text)
{
    char *times = strchr(text, '*');
    unsigned weight = times ? (unsigned)atoi(times + 1) : 1;
    if (times)
        *times = 0;
    unsigned i = number_of(text);
    if (i == KINDS)
        errx(64, "no such kind: %s", text);
    weights[i] = weight;
    all_weights += weight;
}

static int net_at(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        err(1, "%s", path);
    return fd;
}

static void understand(char *argument)
{
    char *value = strchr(argument, '='), *rest = NULL;
    if (!value)
        errx(64, "no value: %s", argument);
    *value++ = 0;
    if (strcmp(argument, "trusted-net") == 0)
        trusted.net = net_at(value);
    else if (strcmp(argument, "untrusted-net") == 0)
        untrusted.net = net_at(value);
    else if (strcmp(argument, "count") == 0)
        count = atol(value);
    else if (strcmp(argument, "threads") == 0)
        threads = atol(value);
    else if (strcmp(argument, "patience") == 0)
        patience = atol(value);
    else if (strcmp(argument, "seed") == 0)
        seed = atol(value);
    else
        for (char *one = strtok_r(value, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
            struct side *side = strcmp(argument, "trusted") == 0 ? &trusted : &untrusted;
            if (strcmp(argument, "to") == 0 && targets < 2)
                understand_address(&to[targets++], one);
            else if (strcmp(argument, "kinds") == 0)
                understand_kind(one);
            else if (strstr(argument, "trusted") && side->count < ADDRESSES)
                understand_address(&side->from[side->count++], one);
            else
                errx(64, "bad option: %s", argument);
        }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        understand(argv[i]);
    if (all_weights == 0 || trusted.count == 0 || untrusted.count == 0 || targets == 0)
        errx(64, "usage: crowd to=... kinds=... trusted=... untrusted=...");
    home = net_at("/proc/self/ns/net");
    pthread_t *running = calloc((size_t)threads, sizeof *running);
    for (long i = 0; i < threads; i++)
        if ((errno = pthread_create(&running[i], NULL, keep_coming, (void *)i)) != 0)
            err(1, "pthread_create");
    for (long i = 0; i < threads; i++)
        pthread_join(running[i], NULL);
    for (unsigned i = 0; i < KINDS; i++)
        printf("%s=%ld ", kinds[i].name, were[i]);
    printf("in-syn=%ld\n", in_syn);
    return 0;
}
