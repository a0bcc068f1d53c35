/* SPDX-License-Identifier: MIT
 *
 * identity.c: a connection keeps its client, whatever becomes of its descriptor: copies, children, new images, other
 * processes, thousands at once, tens of thousands one after the other.
 *
 * `identity NAME` runs one case in a process of its own and prints "ok NAME" or "not ok NAME: why"; `--list` prints the
 * names. The environment must trust 127.0.0.0/8. Server and clients are one process; each client claims an address of
 * its own, or none. `identity --tell FD` and `identity --receive FD` are what the cases execute: they tell the client
 * at the other end of a connection, through that connection, who it is.
 */
#include "testing.h"
#include <spawn.h>

#define SOURCES 8 /* loopback addresses that clients come from: more ports than one has */

static bool kept_in_the_socket; /* else in the process, and no other image knows */

struct party {
    int fd;
    struct sockaddr_in real; /* its end of the connection */
    struct sockaddr_in is;   /* what the server must see: what its header says, or `real` */
};

static struct sockaddr_in loopback_of(int l)
{
    struct sockaddr_in to;
    socklen_t length = sizeof to;
    MUST(getsockname(l, (struct sockaddr *)&to, &length) == 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return to;
}

/* A v2 header for the client `who`, or for none; then the four bytes of `who`. */
static void announce(int fd, uint32_t who, const struct sockaddr_in *claim)
{
    static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
    unsigned char bytes[32] = {0};
    size_t length = claim ? 28 : 16;
    memcpy(bytes, signature, 12);
    bytes[12] = claim ? 0x21 : 0x20;
    bytes[13] = claim ? 0x11 : 0x00;
    bytes[15] = claim ? 12 : 0;
    if (claim) {
        memcpy(bytes + 16, &claim->sin_addr, 4);
        memcpy(bytes + 20, (const unsigned char[]){192, 0, 2, 1}, 4);
        memcpy(bytes + 24, &claim->sin_port, 2);
    }
    memcpy(bytes + length, &who, 4);
    MUST(write(fd, bytes, length + 4) == (ssize_t)(length + 4));
}

/* Its address is 10.x.y.z and its port another number, both by `who`: no two are alike. */
static struct sockaddr_in claim_of(uint32_t who)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(0x0a000000 | (who & 0xffffff)),
                                .sin_port = htons((uint16_t)(1 + who * 7919 % 65535))};
}

static struct party arrive(const struct sockaddr_in *to, uint32_t who, bool claims)
{
    struct party p = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + who % SOURCES)};
    socklen_t length = sizeof p.real;
    MUST(p.fd >= 0 && setsockopt(p.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int)) == 0);
    MUST(bind(p.fd, (struct sockaddr *)&from, sizeof from) == 0);
    MUST(connect(p.fd, (const struct sockaddr *)to, sizeof *to) == 0);
    MUST(getsockname(p.fd, (struct sockaddr *)&p.real, &length) == 0);
    p.is = claims ? claim_of(who) : p.real;
    announce(p.fd, who, claims ? &p.is : NULL);
    return p;
}

/* The same in an accepted socket. */
static uint32_t who_says(int fd)
{
    uint32_t who;
    MUST(recv(fd, &who, sizeof who, MSG_WAITALL) == sizeof who);
    return who;
}

static bool same(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_family == b->sin_family && a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

static bool still_talks(int fd, const struct party *p)
{
    char byte = 0;
    return write(p->fd, "x", 1) == 1 && read(fd, &byte, 1) == 1 && byte == 'x' && write(fd, "y", 1) == 1 &&
           read(p->fd, &byte, 1) == 1 && byte == 'y';
}

static struct party client(int l, uint32_t who)
{
    struct sockaddr_in to = loopback_of(l);
    return arrive(&to, who, true);
}

static int welcome(int l, uint32_t who, const struct party *p)
{
    struct sockaddr_in told;
    socklen_t length = sizeof told;
    int fd = accept(l, (struct sockaddr *)&told, &length);
    MUST(fd >= 0 && length == sizeof told && same(&told, &p->is));
    IS(who, who_says(fd));
    MUST(peer_is(fd, &p->is));
    return fd;
}

/* One more client, accepted. */
static int admit(int l, uint32_t who, struct party *p)
{
    *p = client(l, who);
    return welcome(l, who, p);
}

/* The client ends its connection at once, and no port stays behind. */
static void leave(const struct party *p)
{
    close_at_once(p->fd);
}

static void bye(const struct party *p, int fd)
{
    leave(p);
    MUST(close(fd) == 0);
}

/* --- new images --- */

/* When asked, by a byte: the address that getpeername gives. */
static int tell(int fd)
{
    struct sockaddr_in a = {0};
    socklen_t length = sizeof a;
    char byte;
    if (read(fd, &byte, 1) != 1 || getpeername(fd, (struct sockaddr *)&a, &length) != 0)
        return 1;
    return write(fd, &a, sizeof a) == sizeof a ? 0 : 1;
}

static int receive_and_tell(int way)
{
    int fd, status = 0;
    while (status == 0 && (fd = receive_fd(way)) >= 0) {
        status = tell(fd);
        close(fd);
    }
    return status;
}

static struct sockaddr_in asked(const struct party *p)
{
    struct sockaddr_in told;
    MUST(write(p->fd, "?", 1) == 1);
    MUST(recv(p->fd, &told, sizeof told, MSG_WAITALL) == sizeof told);
    return told;
}

/* identity WHAT FD, with the preload or without. */
struct command {
    char number[16];
    char *argv[4];
};

static void make_command(struct command *c, char *what, int fd)
{
    snprintf(c->number, sizeof c->number, "%d", fd);
    memcpy(c->argv, (char *[]){(char[]){"identity"}, what, c->number, NULL}, sizeof c->argv);
}

static pid_t spawn(const struct command *c, bool preloaded)
{
    char *env[64];
    int count = 0;
    pid_t child;
    for (char **e = environ; *e && count < 63; e++)
        if (preloaded || strncmp(*e, "LD_PRELOAD=", 11) != 0)
            env[count++] = *e;
    env[count] = NULL;
    IS(0, posix_spawn(&child, "/proc/self/exe", NULL, NULL, c->argv, env));
    return child;
}

static pid_t by_posix_spawn(const struct command *c)
{
    return spawn(c, true);
}

static pid_t by_fork(const struct command *c)
{
    pid_t child = fork();
    if (child == 0) {
        execv("/proc/self/exe", c->argv);
        _exit(100);
    }
    return child;
}

static pid_t by_vfork(const struct command *c)
{
    pid_t child = vfork();
    if (child == 0) {
        execv("/proc/self/exe", c->argv);
        _exit(100);
    }
    return child;
}

/* --- cases: copies --- */

static void copy_has_the_client_also_when_the_original_is_gone(void)
{
    int l = listener(0);
    for (enum copying how = DUP; how < COPYINGS; how++) {
        struct party p;
        int fd = admit(l, how, &p), copy = copy_of(fd, how);
        MUST(copy >= 0 && copy != fd);
        MUST(peer_is(copy, &p.is) && peer_is(fd, &p.is));
        struct party other = client(l, COPYINGS + how);
        MUST(close(fd) == 0);
        IS(fd, welcome(l, COPYINGS + how, &other)); /* the number is somebody else's now */
        MUST(peer_is(copy, &p.is) && still_talks(copy, &p));
        MUST(peer_is(fd, &other.is) && still_talks(fd, &other));
        bye(&p, copy);
        bye(&other, fd);
    }
}

static void number_that_is_given_another_connection_has_that_ones_client(void)
{
    int l = listener(0);
    for (int three = 0; three < 2; three++) {
        struct party first, second;
        int one = admit(l, 1, &first), two = admit(l, 2, &second), kept = dup(one);
        step = three ? "dup3" : "dup2";
        IS(one, three ? dup3(two, one, O_CLOEXEC) : dup2(two, one));
        MUST(peer_is(one, &second.is) && peer_is(two, &second.is) && peer_is(kept, &first.is));
        MUST(close(two) == 0);
        MUST(peer_is(one, &second.is) && still_talks(one, &second));
        MUST(peer_is(kept, &first.is) && still_talks(kept, &first));
        bye(&first, kept);
        bye(&second, one);
    }
}

static void socket_connected_elsewhere_has_its_new_peer(void)
{
    int l = listener(0), elsewhere = listener(0);
    struct sockaddr_in nobody = {.sin_family = AF_UNSPEC}, to = loopback_of(elsewhere), a;
    socklen_t length = sizeof a;
    struct party p;
    int fd = admit(l, 1, &p);
    leave(&p);
    MUST(connect(fd, (struct sockaddr *)&nobody, sizeof nobody) == 0);
    FAILS_WITH(ENOTCONN, getpeername(fd, (struct sockaddr *)&a, &length));
    MUST(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    MUST(peer_is(fd, &to));
    int copy = dup(fd);
    MUST(peer_is(copy, &to) && close(copy) == 0);
    struct party next = client(l, 2);
    MUST(close(fd) == 0);
    IS(fd, welcome(l, 2, &next));
}

/* --- cases: processes --- */

static void child_and_grandchild_of_fork_know_the_client(void)
{
    int l = listener(0);
    struct party p, late;
    int fd = admit(l, 1, &p);
    pid_t child = fork();
    if (child == 0) {
        MUST(peer_is(fd, &p.is));
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(tell(fd));
        ended_well(grandchild);
        int mine = admit(l, 2, &late); /* it may accept itself */
        MUST(peer_is(mine, &late.is) && peer_is(fd, &p.is));
        _exit(0);
    }
    struct sockaddr_in told = asked(&p);
    MUST(same(&told, &p.is));
    ended_well(child);
    MUST(peer_is(fd, &p.is) && still_talks(fd, &p));
}

/* The server goes on with other clients while the new image has this one. */
static void image_knows_the_client(pid_t (*by)(const struct command *))
{
    int l = listener(0);
    for (uint32_t round = 0; round < 3; round++) {
        struct party p, others[3];
        struct command c;
        int fd = admit(l, 10 * round, &p), served[3];
        make_command(&c, (char[]){"--tell"}, fd);
        pid_t child = by(&c);
        MUST(child > 0);
        MUST(close(fd) == 0);
        for (uint32_t i = 0; i < 3; i++)
            served[i] = admit(l, 10 * round + 1 + i, &others[i]);
        struct sockaddr_in told = asked(&p);
        MUST(same(&told, kept_in_the_socket ? &p.is : &p.real));
        for (int i = 0; i < 3; i++) {
            MUST(peer_is(served[i], &others[i].is) && still_talks(served[i], &others[i]));
            bye(&others[i], served[i]);
        }
        ended_well(child);
        leave(&p);
    }
}

static void image_executed_after_fork_knows_the_client(void)
{
    image_knows_the_client(by_fork);
}

static void image_executed_after_vfork_knows_the_client(void)
{
    image_knows_the_client(by_vfork);
}

static void image_started_by_posix_spawn_knows_the_client(void)
{
    image_knows_the_client(by_posix_spawn);
}

/* A process that was there before the clients came. The server forgets each connection once it is sent, or not. */
static void passed_on(bool preloaded)
{
    int l = listener(0), pair[2];
    struct command c;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && fcntl(pair[0], F_SETFD, FD_CLOEXEC) == 0);
    make_command(&c, (char[]){"--receive"}, pair[1]);
    pid_t other = spawn(&c, preloaded);
    MUST(close(pair[1]) == 0);
    for (uint32_t i = 0; i < 6; i++) {
        struct party p;
        int fd = admit(l, i, &p);
        send_fd(pair[0], fd);
        if (i & 1)
            MUST(close(fd) == 0);
        struct sockaddr_in told = asked(&p);
        MUST(same(&told, preloaded && kept_in_the_socket ? &p.is : &p.real));
        if (!(i & 1))
            MUST(peer_is(fd, &p.is) && still_talks(fd, &p) && close(fd) == 0);
        leave(&p);
    }
    MUST(close(pair[0]) == 0);
    ended_well(other);
}

static void process_that_is_sent_a_connection_knows_the_client(void)
{
    passed_on(true);
}

static void process_without_the_library_that_is_sent_a_connection_sees_the_balancer(void)
{
    passed_on(false);
}

/* --- cases: many --- */

enum { CROWD = 6000, SERVER_NUMBERS = 100, NEEDED = 2 * CROWD + SERVER_NUMBERS };

static struct party crowd[CROWD];
static int accepted[CROWD];

static void accept_all(int l, uint32_t first, uint32_t stride)
{
    struct sockaddr_in to = loopback_of(l), told;
    for (uint32_t i = 0; i < CROWD; i += stride) {
        socklen_t length = sizeof told;
        crowd[i] = arrive(&to, first + i, true);
        accepted[i] = accept(l, (struct sockaddr *)&told, &length);
        MUST(accepted[i] >= 0 && same(&told, &crowd[i].is));
        IS(first + i, who_says(accepted[i]));
    }
}

static void all_are_right(void)
{
    for (uint32_t i = 0; i < CROWD; i++) {
        uint32_t any = i * 4999 % CROWD; /* each once, not in their order */
        if (!peer_is(accepted[any], &crowd[any].is))
            fail(__LINE__, "number %u of %u", any, CROWD);
    }
}

/* Then every second one is replaced: other clients on the same numbers. */
static void six_thousand_open_connections_have_each_their_own_client(void)
{
    struct rlimit limit;
    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < NEEDED) {
        printf("RLIMIT_NOFILE of %d\n", NEEDED);
        exit(77);
    }
    limit.rlim_cur = limit.rlim_max;
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    int l = listener(0);
    accept_all(l, 0, 1);
    all_are_right();
    for (uint32_t i = 0; i < CROWD; i += 2)
        bye(&crowd[i], accepted[i]);
    accept_all(l, 1000000, 2);
    all_are_right();
}

static long in_status(const char *field)
{
    char line[256];
    long kilobytes = -1;
    FILE *status = fopen("/proc/self/status", "r");
    MUST(status);
    while (kilobytes < 0 && fgets(line, sizeof line, status))
        if (strncmp(line, field, strlen(field)) == 0)
            kilobytes = atol(line + strlen(field));
    MUST(fclose(status) == 0 && kilobytes >= 0);
    return kilobytes;
}

enum { BATCH = 16, ROUNDS = 30000, WARMED = 10000 };

/* As many at once; even ones are clients, odd ones a balancer's own. */
static void serve_batch(int l, const struct sockaddr_in *to, uint32_t first)
{
    struct party batch[BATCH];
    int fd[BATCH];
    for (uint32_t i = 0; i < BATCH; i++)
        batch[i] = arrive(to, first + i, i % 2 == 0);
    for (uint32_t i = 0; i < BATCH; i++) {
        struct sockaddr_in told;
        socklen_t length = sizeof told;
        fd[i] = accept(l, (struct sockaddr *)&told, &length);
        MUST(fd[i] >= 0);
        IS(first + i, who_says(fd[i]));
        MUST(same(&told, &batch[i].is));
    }
    for (uint32_t i = BATCH; i-- > 0;) {
        if (!peer_is(fd[i], &batch[i].is))
            fail(__LINE__, "connection %u", first + i);
        bye(&batch[i], fd[i]);
    }
}

static void thousands_of_connections_mix_nobody_up_and_leave_nothing(void)
{
    const char *asked = getenv("IDENTITY_CONNECTIONS");
    uint32_t rounds = asked ? (uint32_t)strtoul(asked, NULL, 10) : ROUNDS;
    MUST(rounds > WARMED);
    int l = listener(0);
    struct sockaddr_in to = loopback_of(l);
    uint32_t first = 0;
    for (; first < WARMED; first += BATCH)
        serve_batch(l, &to, first);
    long memory = in_status("RssAnon:");
    int numbers = open_fds();
    for (; first < rounds; first += BATCH)
        serve_batch(l, &to, first);
    IS(numbers, open_fds());
    long grown = in_status("RssAnon:") - memory;
    if (grown > 16)
        fail(__LINE__, "memory grew by %ld kB", grown);
}

/* --- cases: threads --- */

enum { SERVERS = 4, EACH = 3000 };

static void *serve_alone(void *from)
{
    uint32_t first = *(uint32_t *)from;
    int l = listener(0);
    for (uint32_t i = 0; i < EACH; i += 2) {
        struct party one, two;
        int a = admit(l, first + i, &one), b = admit(l, first + i + 1, &two);
        MUST(peer_is(a, &one.is));
        bye(&one, a);
        MUST(peer_is(b, &two.is));
        bye(&two, b);
    }
    return NULL;
}

/* Each with clients of its own; the descriptors' numbers go from one to the other. */
static void threads_that_accept_and_close_at_once_mix_nobody_up(void)
{
    pthread_t thread[SERVERS];
    uint32_t first[SERVERS];
    for (uint32_t i = 0; i < SERVERS; i++) {
        first[i] = i * EACH;
        IS(0, pthread_create(&thread[i], NULL, serve_alone, &first[i]));
    }
    for (int i = 0; i < SERVERS; i++)
        IS(0, pthread_join(thread[i], NULL));
}

static const struct test cases[] = {
    CASE(copy_has_the_client_also_when_the_original_is_gone),
    CASE(number_that_is_given_another_connection_has_that_ones_client),
    CASE(socket_connected_elsewhere_has_its_new_peer),
    CASE(child_and_grandchild_of_fork_know_the_client),
    CASE(image_executed_after_fork_knows_the_client),
    CASE(image_executed_after_vfork_knows_the_client),
    CASE(image_started_by_posix_spawn_knows_the_client),
    CASE(process_that_is_sent_a_connection_knows_the_client),
    CASE(process_without_the_library_that_is_sent_a_connection_sees_the_balancer),
    CASE(six_thousand_open_connections_have_each_their_own_client),
    CASE(thousands_of_connections_mix_nobody_up_and_leave_nothing),
    CASE(threads_that_accept_and_close_at_once_mix_nobody_up),
};

int main(int argc, char **argv)
{
    const char *store = getenv("LIBPPSHIM_TEST_STORE");
    kept_in_the_socket = !store || strcmp(store, "table") != 0;
    begin(argc, argv);
    if (argc == 3 && strcmp(argv[1], "--tell") == 0)
        return tell(atoi(argv[2]));
    if (argc == 3 && strcmp(argv[1], "--receive") == 0)
        return receive_and_tell(atoi(argv[2]));
    return run_case(cases, sizeof cases / sizeof *cases);
}
