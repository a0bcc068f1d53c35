/* SPDX-License-Identifier: MIT
 *
 * cable.c: a bad cable between two networks: it delays each packet by a time of its own, so that they overtake each
 * other, and loses some.
 *
 *     cable NET NAME NET NAME OPTION=VALUE...
 *
 *     delay=MS   at least
 *     jitter=MS  and up to so much more
 *     loss=N     of 1,000 packets
 *     seed=N
 *
 * NET is a file (/proc/PID/fd/N), NAME that of the device there (tun). Prints "ready" when both are there, and at
 * SIGTERM how many of TCP's packets it "carried=N lost=N".
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST = 2048, MOST = 16384 };

static long delay, jitter, loss, seed = 1;
static unsigned long carried, lost;
static volatile sig_atomic_t over;

/* A packet that is under way. */
struct packet {
    int64_t due; /* ms */
    int to;
    ssize_t length;
    unsigned char bytes[LARGEST];
};
static struct packet *under_way[MOST]; /* in no order */
static int count;

static unsigned any(unsigned below)
{
    static uint64_t state;
    if (state == 0)
        state = (uint64_t)seed * 1000003 + 1;
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

static bool is_tcp(const struct packet *p)
{
    return p->length >= 20 && p->bytes[p->bytes[0] >> 4 == 4 ? 9 : 6] == 6;
}

static void put(int from, int to)
{
    struct packet *p = malloc(sizeof *p);
    if (!p || (p->length = read(from, p->bytes, sizeof p->bytes)) <= 0)
        err(1, "read");
    if (count == MOST || any(1000) < (unsigned)loss) {
        lost += is_tcp(p);
        free(p);
        return;
    }
    p->to = to;
    p->due = milliseconds() + delay + any((unsigned)jitter + 1);
    under_way[count++] = p;
}

/* Those whose time has come arrive; milliseconds to the next one, -1 if there is none. */
static int deliver(void)
{
    int64_t now = milliseconds(), next = -1;
    for (int i = 0; i < count; i++) {
        struct packet *p = under_way[i];
        if (p->due > now) {
            next = next < 0 || p->due - now < next ? p->due - now : next;
            continue;
        }
        if (write(p->to, p->bytes, (size_t)p->length) != p->length && errno != EIO) /* EIO: the device is down */
            err(1, "write");
        carried += is_tcp(p);
        free(p);
        under_way[i--] = under_way[--count];
    }
    return (int)next;
}

static int device(const char *net, const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int in = open(net, O_RDONLY | O_CLOEXEC);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (in < 0 || setns(in, CLONE_NEWNET) != 0)
        err(1, "%s", net);
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC); /* the device is in the network of who opens this */
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0)
        err(1, "/dev/net/tun");
    return fd;
}

static void understand(char *argument)
{
    static const struct {
        const char *name;
        long *value;
    } options[] = {{"delay=", &delay}, {"jitter=", &jitter}, {"loss=", &loss}, {"seed=", &seed}};
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++) {
        size_t length = strlen(options[i].name);
        if (strncmp(argument, options[i].name, length) == 0) {
            *options[i].value = atol(argument + length);
            return;
        }
    }
    errx(64, "bad option: %s", argument);
}

static void end(int number)
{
    (void)number;
    over = true;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        errx(64, "usage: cable NET NAME NET NAME OPTION=VALUE...");
    for (int i = 5; i < argc; i++)
        understand(argv[i]);
    struct pollfd p[2] = {{.fd = device(argv[1], argv[2]), .events = POLLIN},
                          {.fd = device(argv[3], argv[4]), .events = POLLIN}};
    struct sigaction on_term = {.sa_handler = end};
    sigaction(SIGTERM, &on_term, NULL);
    puts("ready");
    fflush(stdout);
    while (!over) {
        if (poll(p, 2, deliver()) <= 0)
            continue;
        for (int i = 0; i < 2; i++)
            if (p[i].revents)
                put(p[i].fd, p[1 - i].fd);
    }
    printf("carried=%lu lost=%lu\n", carried, lost);
    return 0;
}
