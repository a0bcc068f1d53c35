/* SPDX-License-Identifier: MIT
 *
 * server.c: an ordinary server, of TCP or of a Unix socket, that knows nothing of the shim, with every usual way of
 * waiting for a connection.
 *
 * It prints "listening PORT..." once, one "conn key=value..." line a connection, and "stats ..." at SIGTERM. A client
 * is sent its own conn line first, then gets its bytes back until it half-closes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_LISTENERS 8
#define MAX_WORKERS 16
#define MAX_WATCHED 4096
#define MOST_AT_A_TIME 64
#define ADDRESS_ROOM 128
#define FILLER 0xaa /* what an address buffer holds before accept writes into it */
#define COUNT(array) (sizeof(array) / sizeof *(array))

enum style { BLOCKING, POLL, PPOLL, SELECT, PSELECT, EPOLL_LT, EPOLL_ET, EPOLL_ONE_SHOT, EPOLL_EXCL, EPOLL_PWAIT };
static const char *const styles[] = {"blocking", "poll",     "ppoll",         "select",          "pselect",
                                     "epoll-lt", "epoll-et", "epoll-oneshot", "epoll-exclusive", "epoll_pwait"};
enum family { INET, INET6, V6ONLY };
enum handling { IN_THREAD, IN_CHILD, INLINE }; /* of BLOCKING; the other styles serve their connections in the loop */

static struct {
    int style, family, handling;
    int threads, workers, listeners;
    int address_length, receive_buffer;
    int call_accept4, call_flags, null_address, nonblock_listener, go_on, saved_syn, quiet;
    const char *unix_path; /* of the one listener; "@name": abstract */
} opt = {.threads = 1, .listeners = 1, .address_length = ADDRESS_ROOM};

static const struct {
    const char *argument;
    int *option, value;
} switches[] = {
    {"--family=inet", &opt.family, INET},
    {"--family=inet6", &opt.family, INET6},
    {"--family=v6only", &opt.family, V6ONLY},
    {"--handle=thread", &opt.handling, IN_THREAD},
    {"--handle=fork", &opt.handling, IN_CHILD},
    {"--handle=inline", &opt.handling, INLINE},
    {"--call=accept", &opt.call_accept4, false},
    {"--call=accept4", &opt.call_accept4, true},
    {"--flags=nonblock", &opt.call_flags, SOCK_NONBLOCK},
    {"--flags=cloexec", &opt.call_flags, SOCK_CLOEXEC},
    {"--flags=nonblock,cloexec", &opt.call_flags, SOCK_NONBLOCK | SOCK_CLOEXEC},
    {"--null-addr", &opt.null_address, true},
    {"--nonblock-listener", &opt.nonblock_listener, true},
    {"--go-on", &opt.go_on, true},
    {"--saved-syn", &opt.saved_syn, true}, /* the conn line ends with "syn=", who sent it: the kernel's own word */
    {"--quiet", &opt.quiet, true},         /* the conn line is for the client alone */
};

static const struct {
    const char *argument;
    int *option, highest;
} numbers[] = {
    {"--accept=threads=", &opt.threads, MAX_WORKERS}, /* that many threads in a blocking accept */
    {"--accept=fork=", &opt.workers, MAX_WORKERS},    /* that many processes in a blocking accept */
    {"--workers=", &opt.workers, MAX_WORKERS},        /* the same for any style */
    {"--listeners=", &opt.listeners, MAX_LISTENERS},  {"--addrlen=", &opt.address_length, ADDRESS_ROOM},
    {"--rcvbuf=", &opt.receive_buffer, 1 << 20},
};

static struct counters { /* shared with the workers */
    atomic_int wakes;    /* a wait reported a listener */
    atomic_int accepted;
    atomic_int empty; /* the first accept after a wake found nothing */
    atomic_int failed;
} * counters;

static int listeners[MAX_LISTENERS];
static pid_t workers[MAX_WORKERS];
static int worker_count;
static bool is_worker;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(3);
}

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static void on_sigterm(int number)
{
    (void)number;
    if (is_worker)
        _exit(0);
    for (int i = 0; i < worker_count; i++)
        kill(workers[i], SIGTERM);
    for (int i = 0; i < worker_count; i++)
        waitpid(workers[i], NULL, 0);
    say("stats wakes=%d accepted=%d empty=%d failed=%d\n", counters->wakes, counters->accepted, counters->empty,
        counters->failed);
    _exit(0);
}

/* --- what a connection looks like --- */

struct arrival {
    int fd;
    unsigned char address[ADDRESS_ROOM];
    socklen_t length;
};

static const char *endpoint_text(char text[64], const void *address, socklen_t length)
{
    char host[INET6_ADDRSTRLEN];
    struct sockaddr_in6 in6 = {0};
    memcpy(&in6, address, length < sizeof in6 ? length : sizeof in6);
    const struct sockaddr_in *in = (const struct sockaddr_in *)&in6;
    if (in6.sin6_family == AF_INET && length >= sizeof *in)
        snprintf(text, 64, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, host, sizeof host), ntohs(in->sin_port));
    else if (in6.sin6_family == AF_INET6 && length >= sizeof in6)
        snprintf(text, 64, "[%s]:%u", inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof host), ntohs(in6.sin6_port));
    else if (in6.sin6_family == AF_UNIX && length >= sizeof in6.sin6_family)
        snprintf(text, 64, "unix:%.*s", (int)(length < 50 ? length - 2 : 48), (const char *)address + 2);
    else
        strcpy(text, "none");
    return text;
}

static const char *name_text(char text[64], int (*get)(int, struct sockaddr *, socklen_t *), int fd, socklen_t *length)
{
    struct sockaddr_storage address;
    for (int tries = 1 + opt.go_on; tries > 0; tries--) {
        *length = sizeof address;
        if (get(fd, (struct sockaddr *)&address, length) == 0)
            return endpoint_text(text, &address, *length);
    }
    *length = 0;
    snprintf(text, 64, "errno-%d", errno);
    return text;
}

/* Of the connection's first packet, " syn=ADDRESS", whatever became of the connection since. */
static const char *syn_text(char text[80], int fd)
{
    unsigned char syn[128] = {0};
    socklen_t length = sizeof syn;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};
    char endpoint[64];
    *text = 0;
    if (!opt.saved_syn || getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, syn, &length) != 0)
        return text;
    memcpy(&in6.sin6_addr, syn + 8, 16);
    memcpy(&in6.sin6_port, syn + 40, 2);
    memcpy(&in.sin_addr, syn + 12, 4);
    memcpy(&in.sin_port, syn + (syn[0] & 15) * 4, 2);
    if (syn[0] >> 4 == 4)
        endpoint_text(endpoint, &in, sizeof in);
    else
        endpoint_text(endpoint, &in6, sizeof in6);
    snprintf(text, 80, " syn=%s", endpoint);
    return text;
}

static int describe(char line[768], const struct arrival *a)
{
    char accepted[64], peer[64], local[64], syn[80], raw[2 * 32 + 1];
    socklen_t peer_length, local_length, written = a->length, room = (socklen_t)opt.address_length;
    int low_water = 0;
    socklen_t size = sizeof low_water;
    endpoint_text(accepted, a->address, opt.null_address ? 0 : written < room ? written : room);
    for (int i = 0; i < 32; i++)
        snprintf(raw + 2 * i, 3, "%02x", a->address[i]);
    name_text(peer, getpeername, a->fd, &peer_length);
    name_text(local, getsockname, a->fd, &local_length);
    getsockopt(a->fd, SOL_SOCKET, SO_RCVLOWAT, &low_water, &size);
    return snprintf(line, 768,
                    "conn fd=%d pid=%d accept=%s acceptlen=%u raw=%s peer=%s peerlen=%u local=%s locallen=%u "
                    "nonblock=%d cloexec=%d rcvlowat=%d%s\n",
                    a->fd, getpid(), accepted, written, raw, peer, peer_length, local, local_length,
                    (fcntl(a->fd, F_GETFL) & O_NONBLOCK) != 0, (fcntl(a->fd, F_GETFD) & FD_CLOEXEC) != 0, low_water,
                    syn_text(syn, a->fd));
}

static bool write_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            poll(&writable, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return false;
        } else if (n > 0) {
            data += n;
            length -= (size_t)n;
        }
    }
    return true;
}

static void greet(const struct arrival *a)
{
    char line[768];
    int length = describe(line, a);
    if (!opt.quiet)
        say("%s", line);
    write_all(a->fd, line, (size_t)length);
}

/* Gives back what is there; false when the connection is over. */
static bool echo_once(int fd)
{
    char data[16384];
    ssize_t n = read(fd, data, sizeof data);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    return n > 0 && write_all(fd, data, (size_t)n);
}

static void serve(const struct arrival *a)
{
    struct pollfd readable = {.fd = a->fd, .events = POLLIN};
    greet(a);
    do
        poll(&readable, 1, -1);
    while (echo_once(a->fd));
    close(a->fd);
}

/* --- accepting --- */

static bool take(int listener, struct arrival *a)
{
    memset(a->address, FILLER, sizeof a->address);
    a->length = (socklen_t)opt.address_length;
    struct sockaddr *address = opt.null_address ? NULL : (struct sockaddr *)a->address;
    socklen_t *length = opt.null_address ? NULL : &a->length;
    if (opt.call_accept4 || opt.call_flags)
        a->fd = accept4(listener, address, length, opt.call_flags);
    else
        a->fd = accept(listener, address, length);
    counters->accepted += a->fd >= 0;
    return a->fd >= 0;
}

static void accept_failed(void)
{
    int error = errno;
    counters->failed++;
    say("failed errno=%d\n", error);
    if (error != EINTR && error != ECONNABORTED && error != EAGAIN && !opt.go_on)
        exit(2);
}

static void *serve_thread(void *arrival)
{
    serve(arrival);
    free(arrival);
    return NULL;
}

static void hand_off(const struct arrival *a)
{
    if (opt.handling == INLINE) {
        serve(a);
    } else if (opt.handling == IN_CHILD) {
        if (fork() == 0) {
            signal(SIGTERM, SIG_DFL);
            serve(a);
            _exit(0);
        }
        close(a->fd);
    } else {
        pthread_t thread;
        struct arrival *copy = malloc(sizeof *copy);
        if (copy == NULL)
            die("malloc");
        *copy = *a;
        if (pthread_create(&thread, NULL, serve_thread, copy) != 0)
            die("pthread_create");
        pthread_detach(thread);
    }
}

static void *accept_for_ever(void *listener)
{
    for (;;) {
        struct arrival a;
        if (take(*(int *)listener, &a))
            hand_off(&a);
        else
            accept_failed();
    }
    return NULL;
}

static void run_blocking(void)
{
    pthread_t thread;
    for (int i = 1; i < opt.threads * opt.listeners; i++)
        if (pthread_create(&thread, NULL, accept_for_ever, &listeners[i % opt.listeners]) != 0)
            die("pthread_create");
    accept_for_ever(&listeners[0]);
}

/* --- event loops --- */

static struct {
    int epoll; /* -1: poll or select */
    struct pollfd fds[MAX_WATCHED];
    int count;
} loop;

static bool is_listener(int fd)
{
    for (int i = 0; i < opt.listeners; i++)
        if (listeners[i] == fd)
            return true;
    return false;
}

static void control(int operation, int fd)
{
    static const uint32_t extra[] = {
        [EPOLL_ET] = EPOLLET, [EPOLL_ONE_SHOT] = EPOLLONESHOT, [EPOLL_EXCL] = EPOLLEXCLUSIVE, [EPOLL_PWAIT] = 0};
    struct epoll_event event = {.events = EPOLLIN | (is_listener(fd) ? extra[opt.style] : 0), .data.fd = fd};
    while (epoll_ctl(loop.epoll, operation, fd, &event) != 0)
        if (!opt.go_on)
            die("epoll_ctl");
}

static void watch(int fd)
{
    if (loop.count == MAX_WATCHED)
        die("too many connections");
    loop.fds[loop.count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    if (loop.epoll >= 0)
        control(EPOLL_CTL_ADD, fd);
}

static void drop(int fd)
{
    for (int i = 0; i < loop.count; i++)
        if (loop.fds[i].fd == fd)
            loop.fds[i] = loop.fds[--loop.count];
    close(fd); /* which takes it out of the epoll */
}

static int wait_in_epoll(int ready[])
{
    struct epoll_event events[64];
    sigset_t none;
    sigemptyset(&none);
    int n = opt.style == EPOLL_PWAIT ? epoll_pwait(loop.epoll, events, 64, -1, &none)
                                     : epoll_wait(loop.epoll, events, 64, -1);
    for (int i = 0; i < n; i++)
        ready[i] = events[i].data.fd;
    return n;
}

static int wait_in_select(void)
{
    fd_set set;
    int above = 0;
    FD_ZERO(&set);
    for (int i = 0; i < loop.count; i++) {
        FD_SET(loop.fds[i].fd, &set); /* a number past FD_SETSIZE aborts here, as it does in real servers */
        above = loop.fds[i].fd >= above ? loop.fds[i].fd + 1 : above;
    }
    int n = opt.style == PSELECT ? pselect(above, &set, NULL, NULL, NULL, NULL) : select(above, &set, NULL, NULL, NULL);
    for (int i = 0; n > 0 && i < loop.count; i++)
        loop.fds[i].revents = FD_ISSET(loop.fds[i].fd, &set);
    return n;
}

static int wait_in_poll(int ready[])
{
    int found = 0;
    int n = opt.style >= SELECT  ? wait_in_select()
            : opt.style == PPOLL ? ppoll(loop.fds, (nfds_t)loop.count, NULL, NULL)
                                 : poll(loop.fds, (nfds_t)loop.count, -1);
    for (int i = 0; n > 0 && i < loop.count; i++)
        if (loop.fds[i].revents != 0)
            ready[found++] = loop.fds[i].fd;
    return n < 0 ? n : found;
}

/* At most so many at a time, where the listener is reported again: who comes as fast as he is accepted would keep those
   who leave from being seen. */
static bool takes_more(int taken)
{
    return taken == 0 || (opt.nonblock_listener && (opt.style == EPOLL_ET || taken < MOST_AT_A_TIME));
}

static void accept_ready(int listener)
{
    struct arrival a;
    counters->wakes++;
    for (int taken = 0; takes_more(taken); taken++) {
        if (!take(listener, &a)) {
            if (errno != EAGAIN)
                accept_failed();
            else if (taken == 0)
                counters->empty++;
            break;
        }
        greet(&a);
        watch(a.fd);
    }
    if (opt.style == EPOLL_ONE_SHOT)
        control(EPOLL_CTL_MOD, listener);
}

static void run_loop(void)
{
    static int ready[MAX_WATCHED];
    loop.epoll = opt.style >= EPOLL_LT ? epoll_create1(EPOLL_CLOEXEC) : -1;
    for (int i = 0; i < opt.listeners; i++)
        watch(listeners[i]);
    for (;;) {
        int n = opt.style >= EPOLL_LT ? wait_in_epoll(ready) : wait_in_poll(ready);
        if (n < 0 && errno != EINTR)
            die("wait");
        for (int i = 0; i < n; i++) {
            if (is_listener(ready[i]))
                accept_ready(ready[i]);
            else if (!echo_once(ready[i]))
                drop(ready[i]);
        }
    }
}

/* --- start --- */

static void open_unix_listener(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(opt.unix_path));
    memcpy(un.sun_path, opt.unix_path, strlen(opt.unix_path));
    if (un.sun_path[0] == '@')
        un.sun_path[0] = 0;
    listeners[0] = socket(AF_UNIX, SOCK_STREAM | (opt.nonblock_listener ? SOCK_NONBLOCK : 0), 0);
    if (bind(listeners[0], (struct sockaddr *)&un, length) != 0 || listen(listeners[0], 1024) != 0)
        die("listen");
    say("listening 0\n");
}

static void open_listeners(void)
{
    char line[16 + MAX_LISTENERS * 8] = "listening";
    bool inet = opt.family == INET;
    int v6only = opt.family == V6ONLY;
    for (int i = 0; i < opt.listeners; i++) {
        struct sockaddr_in6 any = {.sin6_family =
                                       inet ? AF_INET : AF_INET6}; /* family and port stand as in sockaddr_in */
        socklen_t length = inet ? sizeof(struct sockaddr_in) : sizeof any;
        int fd = socket(any.sin6_family, SOCK_STREAM | (opt.nonblock_listener ? SOCK_NONBLOCK : 0), 0);
        if (!inet && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only) != 0)
            die("IPV6_V6ONLY");
        if (opt.receive_buffer && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &opt.receive_buffer, sizeof(int)) != 0)
            die("SO_RCVBUF");
        if (opt.saved_syn && setsockopt(fd, IPPROTO_TCP, TCP_SAVE_SYN, &opt.saved_syn, sizeof(int)) != 0)
            die("TCP_SAVE_SYN");
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
            bind(fd, (struct sockaddr *)&any, length) != 0 || listen(fd, 1024) != 0)
            die("listen");
        getsockname(fd, (struct sockaddr *)&any, &length);
        snprintf(line + strlen(line), 8, " %u", ntohs(any.sin6_port));
        listeners[i] = fd;
    }
    say("%s\n", line);
}

static bool set_option(const char *argument)
{
    for (size_t i = 0; i < COUNT(switches); i++)
        if (strcmp(argument, switches[i].argument) == 0)
            return *switches[i].option = switches[i].value, true;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        size_t name = strlen(numbers[i].argument);
        if (strncmp(argument, numbers[i].argument, name) == 0)
            return (*numbers[i].option = atoi(argument + name)) <= numbers[i].highest;
    }
    for (size_t i = 0; i < COUNT(styles); i++)
        if (strncmp(argument, "--accept=", 9) == 0 && strcmp(argument + 9, styles[i]) == 0)
            return opt.style = (int)i, true;
    if (strncmp(argument, "--unix=", 7) == 0)
        return *(opt.unix_path = argument + 7) && strlen(opt.unix_path) < sizeof(struct sockaddr_un) - 2;
    if (strncmp(argument, "--stderr-to=", 12) == 0) { /* what servers do that keep a data file where stderr was */
        int file = open(argument + 12, O_WRONLY | O_CREAT | O_APPEND, 0600);
        return file >= 0 && dup2(file, STDERR_FILENO) >= 0 && close(file) == 0;
    }
    return false;
}

static void start_workers(void)
{
    for (int i = 0; i < opt.workers && !is_worker; i++) {
        pid_t pid = fork();
        is_worker = pid == 0;
        if (!is_worker)
            workers[worker_count++] = pid;
    }
    if (worker_count == 0 || is_worker)
        return;
    int status;
    pid_t dead = wait(&status); /* workers end only by our SIGTERM handler, which does not return */
    say("worker-died pid=%d status=%d\n", dead, status);
    exit(2);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!set_option(argv[i])) {
            fprintf(stderr, "server: bad argument %s\n", argv[i]);
            return 64;
        }
    }
    counters = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counters == MAP_FAILED)
        die("mmap");
    opt.nonblock_listener |= opt.style == EPOLL_ET; /* edge-triggered means: accept until it says EAGAIN */
    struct sigaction stop = {.sa_handler = on_sigterm, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &stop, NULL);
    if (opt.handling == IN_CHILD)
        signal(SIGCHLD, SIG_IGN);
    if (opt.unix_path)
        open_unix_listener();
    else
        open_listeners();
    start_workers();
    if (opt.style == BLOCKING)
        run_blocking();
    else
        run_loop();
}
