/* SPDX-License-Identifier: MIT
 *
 * hazards_reuse.c: numbers that mean something else by now. A number is closed where nobody sees it (a raw system call,
 * libc's own fclose) and used again; or a listener is closed, and its number and whatever the library knew of it are
 * another listener's, while a thread is at work with one of its connections.
 *
 * `hazards_reuse NAME` runs one case in a process of its own and prints "ok NAME" or "not ok NAME: why"; `--list`
 * prints the names. The clients are 127.0.0.2, which the environment must trust, with PPSHIM_TIMEOUT long enough that
 * nobody runs out of it.
 */
#include "hazards.h"
#include <netinet/in.h>

/* --- cases: a client's number that is a copy of the listener now --- */

static int dual_stack_listener(void)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    MUST(fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int)) == 0 &&
         bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 1024) == 0);
    return fd;
}

/* As dial, of a listener that is AF_INET6. */
static struct client introduced_over_ipv4(int to, bool trusted)
{
    struct sockaddr_in6 own;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
                       from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + trusted)};
    socklen_t length = sizeof own;
    struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .number = 4711};
    MUST(c.fd >= 0 && getsockname(to, (struct sockaddr *)&own, &length) == 0);
    address.sin_port = own.sin6_port;
    MUST(bind(c.fd, (struct sockaddr *)&from, sizeof from) == 0);
    MUST(connect(c.fd, (struct sockaddr *)&address, sizeof address) == 0);
    if (trusted)
        introduce(&c);
    return c;
}

/* A copy of the listener under a number that was last known as a client's. */
static int copy_under_a_clients_number(int l, bool by_libc)
{
    struct client c = introduced_over_ipv4(l, true);
    int number = accept(l, NULL, NULL);
    MUST(number >= 0);
    if (by_libc)
        MUST(fclose(fdopen(number, "r")) == 0);
    else
        MUST(syscall(SYS_close, number) == 0);
    IS(number, dup(l));
    MUST(close(c.fd) == 0);
    return number;
}

struct answer {
    unsigned char bytes[256];
    socklen_t length;
};

/* What accept writes into a buffer of this size, and beyond. */
static struct answer accepted_into(int l, socklen_t room, bool trusted)
{
    struct answer a = {.length = room};
    struct client c = introduced_over_ipv4(l, trusted);
    memset(a.bytes, 0xAA, sizeof a.bytes);
    int fd = accept(l, (struct sockaddr *)a.bytes, &a.length);
    MUST(fd >= 0 && close(fd) == 0 && close(c.fd) == 0);
    for (socklen_t i = room; i < sizeof a.bytes; i++)
        if (a.bytes[i] != 0xAA)
            fail(__LINE__, "accept wrote byte %u of a buffer of %u", i, room);
    return a;
}

static void accept_on_a_number_that_was_a_clients_fills_the_buffer_as_ever(void)
{
    static const socklen_t rooms[] = {0, 2, sizeof(struct sockaddr_in), 27, sizeof(struct sockaddr_in6), 128};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        for (int round = 0; round < 4; round++) {
            bool trusted = round & 1, by_libc = round & 2;
            int l = dual_stack_listener(), copy = copy_under_a_clients_number(l, by_libc);
            step = by_libc ? "closed by fclose" : "closed by a raw system call";
            struct answer late = accepted_into(copy, rooms[i], trusted), usual = accepted_into(l, rooms[i], trusted);
            IS(usual.length, late.length);
            IS(sizeof(struct sockaddr_in6), late.length);
            if (trusted)
                MUST(memcmp(late.bytes, usual.bytes, sizeof late.bytes) == 0);
            MUST(close(l) == 0 && close(copy) == 0);
        }
    }
}

/* As the kernel, which looks at them when it has taken a connection. */
static void accept_on_a_number_that_was_a_clients_refuses_bad_arguments(void)
{
    struct sockaddr_in6 peer;
    socklen_t negative = (socklen_t)-1;
    int l = dual_stack_listener(), copy = copy_under_a_clients_number(l, false);
    introduced_over_ipv4(l, true);
    FAILS_WITH(EFAULT, accept(copy, (struct sockaddr *)&peer, NULL));
    MUST(close(copy) == 0);
    copy = copy_under_a_clients_number(l, false);
    introduced_over_ipv4(l, true);
    FAILS_WITH(EINVAL, accept(copy, (struct sockaddr *)&peer, &negative));
}

/* --- */

static const struct hazard cases[] = {
    CASE(accept_on_a_number_that_was_a_clients_fills_the_buffer_as_ever),
    CASE(accept_on_a_number_that_was_a_clients_refuses_bad_arguments),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases, argc, argv);
}
