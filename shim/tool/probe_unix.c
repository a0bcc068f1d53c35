/* SPDX-License-Identifier: MIT
 *
 * probe_unix.c: see probe.h. A Unix socket remembers no client, so the server is not asked: what it has read of ours
 * the kernel tells (SIOCOUTQ), and that one who sends nothing is closed is the sign of the shim.
 */
#include "probe.h"
#include "proc.h"
#include "tool.h"
#include <errno.h>
#include <linux/sockios.h>
#include <ppshim/trust.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A path is looked up in the server's own root. */
static bool address_of(const struct tool_target *t, const char *name, struct sockaddr_un *un, socklen_t *length)
{
    char path[PATH_MAX], rest[PATH_MAX];
    bool is_abstract = *name == '@';
    snprintf(rest, sizeof rest, "root%s", name);
    if (!tool_proc_path(path, t->pid, rest))
        return false;
    const char *text = is_abstract ? name : path;
    size_t size = strlen(text);
    if (size >= sizeof un->sun_path)
        return false;
    *un = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(un->sun_path, text, size);
    if (is_abstract)
        un->sun_path[0] = 0;
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + !is_abstract);
    return true;
}

/* -1: and it was told. */
static int dial(const struct tool_target *t, const char *name)
{
    struct sockaddr_un un;
    socklen_t length;
    if (!address_of(t, name, &un, &length)) {
        tool_judge(t->r, TOOL_VERDICT_UNSURE, "the path unix:%s is too long to be connected to from here", name);
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&un, length) == 0)
        return fd;
    tool_probe_tell(t, false, "no connection to unix:%s can be made: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool is_read(int fd)
{
    int left = 0;
    return ioctl(fd, SIOCOUTQ, &left) == 0 && left == 0;
}

/* Until it was closed or all of it was read. */
static enum tool_fate watch(int fd, bool has_sent, unsigned most_ms, unsigned *ms)
{
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        bool taken = has_sent && is_read(fd);
        enum tool_fate heard = tool_probe_listen(fd);
        *ms = tool_probe_ms_since(&start);
        if (heard == TOOL_FATE_CLOSED || taken)
            return heard == TOOL_FATE_CLOSED ? heard : TOOL_FATE_TAKEN;
        tool_probe_pause();
    } while (*ms < most_ms);
    return TOOL_FATE_UNSEEN;
}

static void probe_header(const struct tool_target *t, const char *name)
{
    static const struct pps_addr nowhere = {.ip = {[10] = 0xff, [11] = 0xff}};
    char client_text[PPS_ADDR_TEXT];
    uint8_t bytes[128];
    struct pps_addr client;
    unsigned ms;
    if (!tool_probe_client(&client)) {
        tool_judge(t->r, TOOL_VERDICT_UNSURE, TOOL_PROBE_NO_CLIENT);
        return;
    }
    int fd = dial(t, name);
    if (fd < 0)
        return;
    size_t length = tool_probe_header(t, &client, &nowhere, bytes, sizeof bytes);
    bool sent = send(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
    enum tool_fate fate = watch(fd, sent, TOOL_PROBE_PATIENCE_MS + t->config->timeout_ms, &ms);
    tool_probe_tell(t, fate == TOOL_FATE_TAKEN, "to unix:%s a header that names %s: %s, %u ms after it was made", name,
                    pps_addr_text(&client, client_text),
                    fate == TOOL_FATE_TAKEN    ? "it was taken"
                    : fate == TOOL_FATE_CLOSED ? "it was closed"
                                               : "nobody has read it",
                    ms);
    close(fd);
}

static bool probe_silence(const struct tool_target *t, const char *name)
{
    unsigned ms;
    int fd = dial(t, name);
    if (fd < 0)
        return false;
    bool closed = watch(fd, false, TOOL_PROBE_PATIENCE_MS + t->config->timeout_ms, &ms) == TOOL_FATE_CLOSED;
    tool_probe_tell(t, closed, "to unix:%s, where a header must be sent, none: %s, %u ms after it was made", name,
                    closed ? "it was closed" : "it was left open", ms);
    close(fd);
    return closed;
}

/* Only where silence is no good can a header that was read have been taken. */
void tool_probe_unix(const struct tool_target *t, const char *name)
{
    struct pps_unix_name listener = pps_unix_name_of(name, strnlen(name, PPS_UNIX_NAME_MAX));
    tool_note(t->r, "listener", "unix:%s", name);
    if (pps_trust_of_listener(&listener) != PPS_TRUSTED)
        tool_judge(t->r, TOOL_VERDICT_UNSURE,
                   "to unix:%s a header may be sent or not: whether one is taken, its accept line alone can say "
                   "(PPSHIM_LOG=auto:info)",
                   name);
    else if (probe_silence(t, name))
        probe_header(t, name);
}
