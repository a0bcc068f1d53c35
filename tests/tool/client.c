/* SPDX-License-Identifier: MIT
 *
 * client.c: a client that connects in every way there is, and knows nothing of any preload.
 *
 *     client STYLE FIRST HOST PORT
 *
 * FIRST is who speaks first, `client` or `server`: "hello" goes one way, "welcome" the other, and then the client
 * closes. Exit status 0: all of it went as a client expects it without a preload; else one line says what did not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static struct sockaddr_storage server;
static socklen_t server_length;
static bool client_first;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s: %s\n", __LINE__, #condition, strerror(errno));                                        \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static int make(int flags)
{
    int fd = socket(server.ss_family, SOCK_STREAM | flags, 0);
    CHECK(fd >= 0);
    return fd;
}

static int connect_it(int fd)
{
    return connect(fd, (struct sockaddr *)&server, server_length);
}

/* It may be done at once, as with a server on the same host on some systems. */
static void begin(int fd)
{
    CHECK(connect_it(fd) == 0 || errno == EINPROGRESS);
}

static void begin_slowly(int fd)
{
    CHECK(connect_it(fd) == -1 && errno == EINPROGRESS);
}

static int error_of(int fd)
{
    int error = -1;
    socklen_t length = sizeof error;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0);
    return error;
}

/* --- after the connect --- */

static void blocking(int fd)
{
    CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0);
}

static void hear(int fd)
{
    char got[8] = "";
    CHECK(recv(fd, got, 7, MSG_WAITALL) == 7 && strcmp(got, "welcome") == 0);
}

static void say(int fd)
{
    CHECK(write(fd, "hello", 5) == 5);
}

static void talk_saying(int fd, void (*how)(int fd))
{
    blocking(fd);
    if (!client_first)
        hear(fd);
    how(fd);
    if (client_first)
        hear(fd);
    CHECK(close(fd) == 0);
}

static void talk(int fd)
{
    talk_saying(fd, say);
}

/* --- ways to wait for it --- */

static void wait_poll(int fd, short events)
{
    struct pollfd p = {fd, events, 0};
    CHECK(poll(&p, 1, 10000) == 1);
}

static void style_blocking(void)
{
    int fd = make(0);
    errno = 0;
    CHECK(connect_it(fd) == 0 && errno == 0);
    talk(fd);
}

static void style_poll(void)
{
    int fd = make(SOCK_NONBLOCK);
    begin(fd);
    wait_poll(fd, POLLOUT);
    CHECK(error_of(fd) == 0);
    talk(fd);
}

static void style_select(void)
{
    int fd = make(SOCK_NONBLOCK);
    fd_set writable;
    begin(fd);
    FD_ZERO(&writable);
    FD_SET(fd, &writable);
    CHECK(select(fd + 1, NULL, &writable, NULL, NULL) == 1);
    CHECK(error_of(fd) == 0);
    talk(fd);
}

static void in_epoll(uint32_t events)
{
    int fd = make(SOCK_NONBLOCK), ep = epoll_create1(0);
    struct epoll_event e = {.events = events};
    begin(fd);
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    CHECK(epoll_wait(ep, &e, 1, 10000) == 1 && (e.events & EPOLLOUT) && !(e.events & (EPOLLERR | EPOLLHUP)));
    CHECK(error_of(fd) == 0);
    talk(fd);
}

static void style_epoll(void)
{
    in_epoll(EPOLLOUT);
}

static void style_epoll_edge(void)
{
    in_epoll(EPOLLOUT | EPOLLIN | EPOLLRDHUP | EPOLLET);
}

/* Learns of the connection from the second connect(), as BSD programs do. */
static void style_connect_again(void)
{
    int fd = make(SOCK_NONBLOCK);
    begin_slowly(fd);
    wait_poll(fd, POLLOUT);
    CHECK(connect_it(fd) == 0);
    CHECK(connect_it(fd) == -1 && errno == EISCONN);
    talk(fd);
}

/* Waits for nothing but what the server says. (Where the client speaks first: for nothing at all.) */
static void style_read_only(void)
{
    int fd = make(SOCK_NONBLOCK);
    begin(fd);
    if (!client_first)
        wait_poll(fd, POLLIN);
    else
        while (send(fd, "", 0, MSG_NOSIGNAL) < 0)
            CHECK(errno == EAGAIN || errno == ENOTCONN || errno == EPIPE);
    talk(fd);
}

static void style_getpeername(void)
{
    int fd = make(SOCK_NONBLOCK);
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    begin(fd);
    wait_poll(fd, POLLOUT);
    CHECK(getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && memcmp(&peer, &server, server_length) == 0);
    talk(fd);
}

/* --- ways to write --- */

static void say_writev(int fd)
{
    struct iovec parts[2] = {{(char *)"he", 2}, {(char *)"llo", 3}};
    CHECK(writev(fd, parts, 2) == 5);
}

static void say_sendmsg(int fd)
{
    struct iovec part = {(char *)"hello", 5};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    CHECK(sendmsg(fd, &message, MSG_NOSIGNAL) == 5);
}

static void say_sendmmsg(int fd)
{
    struct iovec part = {(char *)"hello", 5};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    CHECK(sendmmsg(fd, &message, 1, 0) == 1 && message.msg_len == 5);
}

static void say_sendfile(int fd)
{
    int file = memfd_create("hello", 0);
    off_t from = 0;
    CHECK(write(file, "hello", 5) == 5 && sendfile(fd, file, &from, 5) == 5);
}

static void say_splice(int fd)
{
    int ends[2];
    CHECK(pipe(ends) == 0 && write(ends[1], "hello", 5) == 5);
    CHECK(splice(ends[0], NULL, fd, NULL, 5, 0) == 5);
}

/* The write comes right behind a non-blocking connect, and waits for it in the kernel. */
static void at_once(void (*how)(int fd))
{
    int fd = make(SOCK_NONBLOCK);
    begin(fd);
    talk_saying(fd, how);
}

static void style_write(void)
{
    at_once(say);
}

static void style_writev(void)
{
    at_once(say_writev);
}

static void style_sendmsg(void)
{
    at_once(say_sendmsg);
}

static void style_sendmmsg(void)
{
    at_once(say_sendmmsg);
}

static void style_sendfile(void)
{
    at_once(say_sendfile);
}

static void style_splice(void)
{
    at_once(say_splice);
}

/* --- TCP fast open of the client's own --- */

static void style_fastopen_connect(void)
{
    int fd = make(0), on = 1;
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on) == 0);
    CHECK(connect_it(fd) == 0);
    talk(fd);
}

static void fastopen_said(int fd)
{
    blocking(fd);
    hear(fd);
    CHECK(close(fd) == 0);
}

static void style_fastopen_sendto(void)
{
    int fd = make(0);
    CHECK(sendto(fd, "hello", 5, MSG_FASTOPEN, (struct sockaddr *)&server, server_length) == 5);
    fastopen_said(fd);
}

static void style_fastopen_nonblocking(void)
{
    int fd = make(SOCK_NONBLOCK);
    CHECK(sendto(fd, "hello", 5, MSG_FASTOPEN, (struct sockaddr *)&server, server_length) == -1);
    CHECK(errno == EINPROGRESS);
    wait_poll(fd, POLLOUT);
    CHECK(sendto(fd, "hello", 5, 0, NULL, 0) == 5);
    fastopen_said(fd);
}

static void style_fastopen_sendmsg(void)
{
    int fd = make(0);
    struct iovec part = {(char *)"hello", 5};
    struct msghdr message = {.msg_name = &server, .msg_namelen = server_length, .msg_iov = &part, .msg_iovlen = 1};
    CHECK(sendmsg(fd, &message, MSG_FASTOPEN) == 5);
    fastopen_said(fd);
}

/* --- processes, threads, descriptors --- */

static void style_fork(void)
{
    int fd = make(SOCK_NONBLOCK), status;
    begin(fd);
    pid_t child = fork();
    if (child == 0) {
        talk(fd);
        exit(0);
    }
    CHECK(close(fd) == 0);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void style_dup(void)
{
    int fd = make(SOCK_NONBLOCK);
    begin(fd);
    int other = fcntl(fd, F_DUPFD, 100);
    CHECK(close(fd) == 0);
    talk(other);
}

static void *in_thread(void *style)
{
    (*(void (**)(void))style)();
    return NULL;
}

static void style_threads(void)
{
    static void (*const styles[])(void) = {style_blocking, style_poll, style_epoll, style_write};
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, in_thread, (void *)&styles[i % 4]) == 0);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void style_mptcp(void)
{
    int fd = socket(server.ss_family, SOCK_STREAM, IPPROTO_MPTCP);
    CHECK(fd >= 0);
    CHECK(connect_it(fd) == 0);
    talk(fd);
}

/* --- more than one connection --- */

static void style_disconnect(void)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    int fd = make(0);
    CHECK(connect_it(fd) == 0);
    int other = fcntl(fd, F_DUPFD, 0);
    talk(fd);
    CHECK(connect(other, &none, sizeof none) == 0);
    CHECK(connect_it(other) == 0);
    talk(other);
}

/* --- a server that is slow, or not there --- */

static void style_pending(void)
{
    int fd = make(SOCK_NONBLOCK);
    struct pollfd p = {fd, POLLOUT, 0};
    begin_slowly(fd);
    CHECK(poll(&p, 1, 0) == 0);
    CHECK(connect_it(fd) == -1 && errno == EALREADY);
    puts("pending");
    fflush(stdout);
    CHECK(poll(&p, 1, 20000) == 1 && error_of(fd) == 0);
    talk(fd);
}

static void ignore(int signal)
{
    (void)signal;
}

/* A blocking connect that a signal ends goes on without the caller, and so must its header. */
static void style_interrupted(void)
{
    struct sigaction action = {.sa_handler = ignore};
    struct itimerval soon = {.it_value.tv_usec = 100000};
    int fd = make(0);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &soon, NULL) == 0);
    CHECK(connect_it(fd) == -1 && errno == EINTR);
    puts("pending");
    fflush(stdout);
    wait_poll(fd, POLLOUT);
    CHECK(error_of(fd) == 0);
    talk(fd);
}

static void style_send_timeout(void)
{
    struct timeval soon = {.tv_usec = 100000};
    int fd = make(0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon) == 0);
    CHECK(connect_it(fd) == -1 && errno == EINPROGRESS);
    puts("pending");
    fflush(stdout);
    wait_poll(fd, POLLOUT);
    CHECK(error_of(fd) == 0);
    talk(fd);
}

static void style_refused(void)
{
    int fd = make(0);
    CHECK(connect_it(fd) == -1 && errno == ECONNREFUSED);
}

static void style_refused_later(void)
{
    int fd = make(SOCK_NONBLOCK);
    struct pollfd p = {fd, POLLOUT, 0};
    begin_slowly(fd);
    CHECK(poll(&p, 1, 10000) == 1 && (p.revents & POLLERR));
    CHECK(error_of(fd) == ECONNREFUSED);
}

/* --- not TCP --- */

static void style_udp(void)
{
    int fd = socket(server.ss_family, SOCK_DGRAM, 0);
    CHECK(connect_it(fd) == 0 && send(fd, "hello", 5, 0) == 5);
}

static const struct style {
    const char *name;
    void (*run)(void);
} styles[] = {
    {"blocking", style_blocking},
    {"poll", style_poll},
    {"select", style_select},
    {"epoll", style_epoll},
    {"epoll-edge", style_epoll_edge},
    {"connect-again", style_connect_again},
    {"read-only", style_read_only},
    {"getpeername", style_getpeername},
    {"write", style_write},
    {"writev", style_writev},
    {"sendmsg", style_sendmsg},
    {"sendmmsg", style_sendmmsg},
    {"sendfile", style_sendfile},
    {"splice", style_splice},
    {"fork", style_fork},
    {"dup", style_dup},
    {"mptcp", style_mptcp},
    {"fastopen-connect", style_fastopen_connect},
    {"fastopen-sendto", style_fastopen_sendto},
    {"fastopen-nonblocking", style_fastopen_nonblocking},
    {"fastopen-sendmsg", style_fastopen_sendmsg},
    {"threads", style_threads},
    {"disconnect", style_disconnect},
    {"pending", style_pending},
    {"interrupted", style_interrupted},
    {"send-timeout", style_send_timeout},
    {"refused", style_refused},
    {"refused-later", style_refused_later},
    {"udp", style_udp},
};

static void read_address(const char *host, const char *port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&server;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&server;
    if (strchr(host, ':')) {
        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
        server_length = sizeof *in6;
        CHECK(inet_pton(AF_INET6, host, &in6->sin6_addr) == 1);
    } else {
        *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
        server_length = sizeof *in;
        CHECK(inet_pton(AF_INET, host, &in->sin_addr) == 1);
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 5);
    client_first = strcmp(argv[2], "client") == 0;
    read_address(argv[3], argv[4]);
    for (size_t i = 0; i < sizeof styles / sizeof *styles; i++)
        if (strcmp(styles[i].name, argv[1]) == 0) {
            styles[i].run();
            return 0;
        }
    printf("no such style: %s\n", argv[1]);
    return 2;
}
