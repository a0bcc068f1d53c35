/* SPDX-License-Identifier: MIT
 *
 * journal.c: the socket by which the journal is told is the library's own: what the server does with its number, seen
 * or not, loses no start and gives nobody else a byte. The journal is this program, at the path in PPSHIM_JOURNAL.
 */
#include "testing.h"
#include <sys/un.h>

static int journal(void)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    MUST(fd >= 0 && getenv("PPSHIM_JOURNAL"));
    snprintf(where.sun_path, sizeof where.sun_path, "%s", getenv("PPSHIM_JOURNAL"));
    unlink(where.sun_path);
    IS(0, bind(fd, (struct sockaddr *)&where, sizeof where));
    return fd;
}

/* So many starts, of whole datagrams. */
static int starts_told(int from)
{
    char datagram[512];
    int count = 0;
    while (recv(from, datagram, sizeof datagram, 0) > 64)
        count++;
    return count;
}

static void add_datagram_socket(int fd, const char *what, void *numbers)
{
    struct numbers *n = numbers;
    int type = 0;
    socklen_t length = sizeof type;
    if (strncmp(what, "socket:", 7) == 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
        type == SOCK_DGRAM && fd > 100)
        n->fd[n->count++] = fd;
}

static int librarys_socket(void)
{
    struct numbers n = {.count = 0};
    descriptors(add_datagram_socket, &n);
    IS(1, n.count);
    return n.fd[0];
}

static void one_more_is_told(int l, int to)
{
    warm(l);
    IS(1, starts_told(to));
}

/* --- what may have its number --- */

struct pair {
    int in_its_place, other_end;
};

static struct pair tcp(void)
{
    int l = listener(0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = port_of(l), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int other = socket(AF_INET, SOCK_STREAM, 0);
    MUST(other >= 0 && connect(other, (struct sockaddr *)&to, sizeof to) == 0);
    struct pair p = {(int)syscall(SYS_accept4, l, NULL, NULL, 0), other};
    MUST(p.in_its_place >= 0);
    return p;
}

static struct pair udp(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof to;
    struct pair p = {socket(AF_INET, SOCK_DGRAM, 0), socket(AF_INET, SOCK_DGRAM, 0)};
    IS(0, bind(p.other_end, (struct sockaddr *)&to, length));
    IS(0, getsockname(p.other_end, (struct sockaddr *)&to, &length));
    IS(0, connect(p.in_its_place, (struct sockaddr *)&to, length));
    return p;
}

static struct pair of_unix(int type)
{
    int ends[2];
    IS(0, socketpair(AF_UNIX, type, 0, ends));
    return (struct pair){ends[0], ends[1]};
}

static struct pair unix_stream(void)
{
    return of_unix(SOCK_STREAM);
}

static struct pair unix_datagram(void)
{
    return of_unix(SOCK_DGRAM);
}

static struct pair a_pipe(void)
{
    int ends[2];
    IS(0, pipe(ends));
    return (struct pair){ends[1], ends[0]};
}

static void nothing_came(int fd)
{
    char byte;
    IS(0, fcntl(fd, F_SETFL, O_NONBLOCK));
    FAILS_WITH(EAGAIN, read(fd, &byte, 1));
}

static void whoever_has_its_number_gets_no_byte(void)
{
    static const struct {
        const char *name;
        struct pair (*make)(void);
    } kinds[] = {
        {"TCP", tcp}, {"UDP", udp}, {"Unix stream", unix_stream}, {"Unix datagram", unix_datagram}, {"pipe", a_pipe}};
    int l = listener(0), to = journal();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        step = kinds[i].name;
        one_more_is_told(l, to);
        struct pair p = kinds[i].make();
        int number = librarys_socket();
        IS(number, syscall(SYS_dup3, p.in_its_place, number, 0)); /* behind the library's back */
        one_more_is_told(l, to);
        nothing_came(p.other_end);
        IS(0, syscall(SYS_close, number));
        MUST(close(p.in_its_place) == 0 && close(p.other_end) == 0);
    }
    unlink(getenv("PPSHIM_JOURNAL"));
}

static void closed_by_the_server_it_is_opened_again(void)
{
    int l = listener(0), to = journal();
    one_more_is_told(l, to);
    for (int i = 0; i < 3; i++) {
        int number = librarys_socket();
        IS(0, i == 0   ? close(number)
              : i == 1 ? close_range((unsigned)number, (unsigned)number, 0)
                       : (int)syscall(SYS_close, number));
        one_more_is_told(l, to);
    }
    unlink(getenv("PPSHIM_JOURNAL"));
}

static void child_of_a_fork_tells_too(void)
{
    int l = listener(0), to = journal();
    one_more_is_told(l, to);
    pid_t child = fork();
    if (child == 0) {
        one_more_is_told(l, to);
        _exit(0);
    }
    ended_well(child);
    one_more_is_told(l, to);
    unlink(getenv("PPSHIM_JOURNAL"));
}

static void it_is_not_inherited_by_exec(void)
{
    int l = listener(0), to = journal();
    one_more_is_told(l, to);
    IS(FD_CLOEXEC, fcntl(librarys_socket(), F_GETFD));
    unlink(getenv("PPSHIM_JOURNAL"));
}

static const struct test cases[] = {
    CASE(whoever_has_its_number_gets_no_byte),
    CASE(closed_by_the_server_it_is_opened_again),
    CASE(child_of_a_fork_tells_too),
    CASE(it_is_not_inherited_by_exec),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
