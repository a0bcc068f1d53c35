/* SPDX-License-Identifier: MIT
 *
 * fdinfo.c: lines "tfd: %d events: %x data: %x ..." of an epoll's fdinfo (fdinfo.h).
 */
#include "fdinfo.h"
#include <fcntl.h>
#include <ppshim/quiet.h>
#include <ppshim/real.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool parse(const char *line, const char *end, int *fd, struct epoll_event *event)
{
    const char *events = strstr(line, "events:"), *data = strstr(line, "data:");
    if (strncmp(line, "tfd:", 4) != 0 || !events || !data || events > end || data > end)
        return false;
    *fd = atoi(line + 4);
    event->events = (uint32_t)strtoul(events + 7, NULL, 16);
    event->data.u64 = strtoull(data + 5, NULL, 16);
    return true;
}

bool pps_fdinfo_epoll(int epfd, bool (*each)(void *context, int fd, const struct epoll_event *event), void *context)
{
    char path[48], text[512];
    size_t have = 0;
    ssize_t n;
    bool found = false;
    int cancel_state = pps_cancel_off();
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", epfd);
    int info = open(path, O_RDONLY | O_CLOEXEC);
    while (info >= 0 && !found && (n = read(info, text + have, sizeof text - 1 - have)) > 0) {
        char *line = text, *next;
        int fd;
        struct epoll_event event;
        have += (size_t)n;
        text[have] = 0;
        for (; !found && (next = strchr(line, '\n')); line = next + 1)
            found = parse(line, next, &fd, &event) && each(context, fd, &event);
        have = strlen(line);
        memmove(text, line, have);
    }
    if (info >= 0)
        real_close(info);
    pps_cancel_set(cancel_state);
    return found;
}
