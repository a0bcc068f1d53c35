/* SPDX-License-Identifier: MIT
 *
 * check_listeners.c: the TCP listeners of a process, as /proc tells them (check.h).
 */
#include "check.h"
#include "tool.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <limits.h>
#include <ppshim/config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCKETS_MAX 4096

struct sockets {
    unsigned long inode[SOCKETS_MAX];
    unsigned count;
    bool io_uring;
};

static void read_descriptors(pid_t pid, struct sockets *out)
{
    char path[64], link[PATH_MAX], target[64];
    struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    while (dir && (entry = readdir(dir)) && out->count < SOCKETS_MAX) {
        if (snprintf(link, sizeof link, "%s/%s", path, entry->d_name) >= (int)sizeof link)
            continue;
        ssize_t n = readlink(link, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        out->io_uring |= strcmp(target, "anon_inode:[io_uring]") == 0;
        if (sscanf(target, "socket:[%lu]", &out->inode[out->count]) == 1)
            out->count++;
    }
    if (dir)
        closedir(dir);
}

static bool owns(const struct sockets *s, unsigned long inode)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->inode[i] == inode)
            return true;
    return false;
}

/* "0100007F" or the 32 digits of IPv6: 32-bit words in this machine's order. */
static void address_text(const char *digits, char out[INET6_ADDRSTRLEN + 2])
{
    uint32_t words[4] = {0};
    bool inet6 = strlen(digits) == 32;
    char text[INET6_ADDRSTRLEN] = "?";
    for (int i = 0; i < (inet6 ? 4 : 1); i++)
        sscanf(digits + 8 * i, "%8x", &words[i]);
    inet_ntop(inet6 ? AF_INET6 : AF_INET, words, text, sizeof text);
    snprintf(out, INET6_ADDRSTRLEN + 2, inet6 ? "[%s]" : "%s", text);
}

static void take_listener(struct tool_report *r, const char *line, const struct sockets *s,
                          const struct pps_config *config, struct tool_listeners *found)
{
    char digits[33], address[INET6_ADDRSTRLEN + 2];
    unsigned port, state;
    unsigned long inode;
    if (sscanf(line, " %*u: %32[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %lu", digits, &port, &state, &inode) != 4)
        return;
    if (state != 0x0a || port > 65535 || !owns(s, inode))
        return;
    bool governed = config && pps_config_governs(config, (uint16_t)port);
    address_text(digits, address);
    found->all++;
    found->governed += governed;
    tool_note(r, "listener", "%s:%u%s", address, port,
              !config    ? ""
              : governed ? ", governed"
                         : ", not in PPSHIM_PORTS");
}

struct tool_listeners tool_note_listeners(struct tool_report *r, pid_t pid, const struct pps_config *config)
{
    struct sockets *s = tool_or_abort(calloc(1, sizeof *s));
    struct tool_listeners found = {0};
    char *line = NULL, path[64];
    size_t size = 0;
    read_descriptors(pid, s);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/proc/%d/net/%s", (int)pid, i ? "tcp6" : "tcp");
        FILE *file = fopen(path, "re");
        while (file && getline(&line, &size, file) > 0)
            take_listener(r, line, s, config, &found);
        if (file)
            fclose(file);
    }
    if (s->io_uring)
        tool_warn(r, "io_uring",
                  "it has an io_uring open; connections accepted that way would be out of sight (most use it for files "
                  "only)");
    free(line);
    free(s);
    return found;
}
