/* SPDX-License-Identifier: MIT
 *
 * serve.c: the barest servers, which do nothing but wait, accept and answer.
 *
 *     serve epoll [WORKERS]       an event loop in each of so many processes, all on one listener
 *     serve blocking [THREADS]    so many threads in accept, each of which serves its client to the end
 *
 * Listens on 127.0.0.1 and prints "listening PORT". Each '?' from a client is answered by a '!', each 'b' by a MiB.
 */
#include <arpa/inet.h>
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static char megabyte[1024 * 1024];

static int listener_of(int type)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof where;
    int fd = socket(AF_INET, SOCK_STREAM | type, 0);
    if (bind(fd, (struct sockaddr *)&where, length) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&where, &length) != 0)
        err(1, "listener");
    printf("listening %d\n", ntohs(where.sin_port));
    fflush(stdout);
    return fd;
}

/* One request. False: there is none, the client left. */
static int answer(int fd)
{
    char request;
    if (read(fd, &request, 1) != 1)
        return 0;
    size_t length = request == 'b' ? sizeof megabyte : 1;
    return write(fd, request == 'b' ? megabyte : "!", length) == (ssize_t)length;
}

static int take(int listener, int flags)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    return accept4(listener, (struct sockaddr *)&peer, &length, flags);
}

static void loop(int listener)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = listener}, ready[64];
    int n, fd, ep = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    while ((n = epoll_wait(ep, ready, 64, -1)) >= 0)
        for (int i = 0; i < n; i++) {
            if (ready[i].data.fd != listener) {
                if (!answer(ready[i].data.fd))
                    close(ready[i].data.fd);
            } else if ((fd = take(listener, SOCK_CLOEXEC)) >= 0) {
                e = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
            }
        }
    err(1, "epoll_wait");
}

static void *serve_one_by_one(void *listener)
{
    int fd;
    while ((fd = take(*(int *)listener, SOCK_CLOEXEC)) >= 0) {
        while (answer(fd))
            ;
        close(fd);
    }
    err(1, "accept");
}

int main(int argc, char **argv)
{
    int many = argc > 2 ? atoi(argv[2]) : 1;
    struct rlimit files;
    if (argc < 2 || many < 1)
        errx(64, "usage: serve epoll [WORKERS] | serve blocking [THREADS]");
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(argv[1], "epoll") == 0) {
        int listener = listener_of(SOCK_NONBLOCK);
        while (--many > 0 && fork() != 0)
            ;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        loop(listener);
    }
    int listener = listener_of(0);
    pthread_t thread;
    while (--many > 0 && pthread_create(&thread, NULL, serve_one_by_one, &listener) == 0)
        ;
    serve_one_by_one(&listener);
    return 0;
}
