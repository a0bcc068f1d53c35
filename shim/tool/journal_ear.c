/* SPDX-License-Identifier: MIT
 *
 * journal_ear.c: see journal_ear.h.
 */
#include "journal_ear.h"
#include "sock_diag.h"
#include "tool.h"
#include <errno.h>
#include <libmnl/libmnl.h>
#include <limits.h>
#include <poll.h>
#include <ppshim/deadline.h>
#include <ppshim/journal.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HEARD_MAX ((size_t)256 << 20) /* bytes that may wait to be taken */
#define ENDS_AT_ONCE ((size_t)1 << 20)
#define QUEUE 16384 /* datagrams; the kernel's default is 10 */

static struct mnl_socket *ends;
static int starts = -1, signals = -1;
static char made[sizeof((struct sockaddr_un *)NULL)->sun_path]; /* "": the socket was passed to us */

/* --- what waits to be taken --- */

struct heap { /* records, each padded to 8 bytes and followed by its data */
    char *at;
    size_t used, room;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* over these */
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static struct heap heard;
static uint64_t dropped;

static size_t padded(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static void put(struct heap *h, const struct tool_heard *record)
{
    size_t need = sizeof *record + padded(record->length);
    while (h->room < h->used + need) {
        h->room = h->room ? 2 * h->room : (size_t)1 << 16;
        h->at = tool_or_abort(realloc(h->at, h->room));
    }
    memcpy(h->at + h->used, record, sizeof *record);
    if (record->length)
        memcpy(h->at + h->used + sizeof *record, record->data, record->length);
    h->used += need;
}

/* The lock is held. A signal always gets through. */
static void hear(const struct tool_heard *record)
{
    if (heard.used > HEARD_MAX && record->kind != TOOL_HEARD_SIGNAL) {
        dropped++;
        return;
    }
    if (dropped) {
        struct tool_heard gap = {.kind = TOOL_HEARD_DROPPED, .time = record->time, .lost = dropped};
        dropped = 0;
        put(&heard, &gap);
    }
    put(&heard, record);
}

static void give(struct heap *h, void (*take)(const struct tool_heard *heard, void *arg), void *arg)
{
    for (size_t at = 0; at < h->used;) {
        struct tool_heard record;
        memcpy(&record, h->at + at, sizeof record);
        record.data = h->at + at + sizeof record;
        take(&record, arg);
        at += sizeof record + padded(record.length);
    }
    free(h->at);
}

static void take_heap(bool wait, void (*take)(const struct tool_heard *heard, void *arg), void *arg)
{
    pthread_mutex_lock(&lock);
    while (wait && !heard.used)
        pthread_cond_wait(&news, &lock);
    struct heap mine = heard;
    heard = (struct heap){0};
    pthread_mutex_unlock(&lock);
    give(&mine, take, arg);
}

void tool_ear_take(void (*take)(const struct tool_heard *heard, void *arg), void *arg)
{
    take_heap(true, take, arg);
}

void tool_ear_take_now(void (*take)(const struct tool_heard *heard, void *arg), void *arg)
{
    take_heap(false, take, arg);
}

/* --- the thread --- */

/* Ends that are there, and no more than fit; *overrun: some were lost. */
static size_t read_ends(char *buffer, bool *overrun)
{
    size_t used = 0;
    *overrun = false;
    while (ENDS_AT_ONCE - used >= (size_t)1 << 14) {
        ssize_t n = recv(mnl_socket_get_fd(ends), buffer + used, ENDS_AT_ONCE - used, MSG_DONTWAIT);
        if (n < 0 && errno == ENOBUFS)
            *overrun = true;
        else if (n <= 0)
            break;
        else
            used += NLMSG_ALIGN((size_t)n);
    }
    return used;
}

static bool read_start(struct tool_heard *record, char *buffer, size_t size)
{
    union {
        char room[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    struct iovec part = {buffer, size};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(starts, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return false;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    struct ucred from = {0};
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
        memcpy(&from, CMSG_DATA(c), sizeof from);
    *record = (struct tool_heard){.kind = TOOL_HEARD_START,
                                  .pid = from.pid,
                                  .uid = from.uid,
                                  .time = pps_wall_clock(),
                                  .length = (size_t)n,
                                  .data = buffer};
    return true;
}

/* A start is in its queue before the end of that connection is in the other: what was there to be read when the ends
   had been read holds the starts of all of them. */
static void listen_once(char *end_buffer, char *start_buffer)
{
    bool overrun;
    struct tool_heard record;
    struct signalfd_siginfo signal;
    size_t length = read_ends(end_buffer, &overrun);
    uint64_t now = pps_wall_clock();
    pthread_mutex_lock(&lock);
    while (read_start(&record, start_buffer, sizeof(struct pps_journal_datagram) + PPS_JOURNAL_TLVS_MAX))
        hear(&record);
    if (length)
        hear(&(struct tool_heard){.kind = TOOL_HEARD_ENDS, .time = now, .length = length, .data = end_buffer});
    if (overrun)
        hear(&(struct tool_heard){.kind = TOOL_HEARD_OVERRUN, .time = now});
    while (read(signals, &signal, sizeof signal) == sizeof signal)
        hear(&(struct tool_heard){.kind = TOOL_HEARD_SIGNAL, .time = now, .signal = (int)signal.ssi_signo});
    pthread_cond_signal(&news);
    pthread_mutex_unlock(&lock);
}

static void *listen_for_ever(void *unused)
{
    char *end_buffer = tool_or_abort(malloc(ENDS_AT_ONCE));
    char *start_buffer = tool_or_abort(malloc(sizeof(struct pps_journal_datagram) + PPS_JOURNAL_TLVS_MAX));
    struct pollfd all[] = {{starts, POLLIN, 0}, {mnl_socket_get_fd(ends), POLLIN, 0}, {signals, POLLIN, 0}};
    struct sched_param least = {sched_get_priority_min(SCHED_RR)};
    pthread_setschedparam(pthread_self(), SCHED_RR, &least); /* where we may: the queue is short */
    while (true)
        if (poll(all, 3, -1) > 0)
            listen_once(end_buffer, start_buffer);
    return unused;
}

/* --- the sockets --- */

static void set_queue(const char *number)
{
    FILE *file = fopen("/proc/sys/net/unix/max_dgram_qlen", "we");
    if (file)
        fputs(number, file);
    if (file)
        fclose(file);
}

/* A socket takes its queue's length from a setting of the host when it is made: 10, or 512 where systemd runs. Where we
   may set it, it is a longer one for that moment. */
static int open_with_long_queue(void)
{
    char before[16] = "";
    FILE *file = fopen("/proc/sys/net/unix/max_dgram_qlen", "re");
    bool known = file && fgets(before, sizeof before, file);
    if (file)
        fclose(file);
    if (known && atol(before) < QUEUE)
        set_queue("16384\n");
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (known && atol(before) < QUEUE)
        set_queue(before);
    return fd;
}

/* Of a journal that is gone. One that lives is left alone. */
static bool clear_away(const struct sockaddr_un *where, char error[512])
{
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool answers = fd >= 0 && connect(fd, (const struct sockaddr *)where, sizeof *where) == 0;
    if (fd >= 0)
        close(fd);
    if (answers)
        return snprintf(error, 512, "%s: another journal listens there", where->sun_path), false;
    if (lstat(where->sun_path, &st) != 0)
        return true;
    if (!S_ISSOCK(st.st_mode))
        return snprintf(error, 512, "%s: there is something that is no socket", where->sun_path), false;
    return unlink(where->sun_path) == 0 || (snprintf(error, 512, "%s: %m", where->sun_path), false);
}

static void make_directory(const char *path)
{
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(path, '/') - path), path);
    if (*directory)
        mkdir(directory, 0755);
}

static bool bind_at(const char *path, unsigned mode, char error[512])
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    if (*path != '/' || strlen(path) >= sizeof where.sun_path)
        return snprintf(error, 512, "%s: not an absolute path of at most %zu bytes", path, sizeof where.sun_path - 1),
               false;
    memcpy(where.sun_path, path, strlen(path));
    make_directory(path);
    if (!clear_away(&where, error))
        return false;
    starts = open_with_long_queue();
    if (starts < 0 || bind(starts, (struct sockaddr *)&where, sizeof where) != 0 || chmod(path, mode) != 0)
        return snprintf(error, 512, "%s: %m", path), false;
    memcpy(made, where.sun_path, sizeof made);
    return true;
}

static bool was_passed(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    return pid && count && atol(pid) == getpid() && atoi(count) == 1;
}

bool tool_ear_open(const char *path, unsigned mode, char error[512])
{
    int yes = 1;
    if (was_passed())
        starts = 3;
    else if (!bind_at(path, mode, error))
        return false;
    if (setsockopt(starts, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0)
        return snprintf(error, 512, "the socket that was passed: %m"), false;
    ends = tool_ends_open();
    return ends || (snprintf(error, 512, "the kernel tells no ends of connections (CONFIG_INET_DIAG): %m"), false);
}

bool tool_ear_start(char error[512])
{
    pthread_t thread;
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ours, NULL);
    signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    int failed = signals < 0 ? errno : pthread_create(&thread, NULL, listen_for_ever, NULL);
    if (failed)
        snprintf(error, 512, "%s", strerror(failed));
    return !failed;
}

void tool_ear_close(void)
{
    if (*made)
        unlink(made);
}
