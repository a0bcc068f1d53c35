/* SPDX-License-Identifier: MIT
 *
 * processes.c: see processes.h. Owns what /proc looks like: PID/fd, PID/cgroup, net/tcp, net/tcp6, net/unix.
 */
#include "processes.h"
#include "proc.h"
#include "tool.h"
#include "unit_find.h"
#include "unit_state.h"
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- processes --- */

static void take_descriptor(struct tool_process *p, const char *number, const char *target)
{
    struct tool_descriptor d = {.fd = atoi(number)};
    p->io_uring |= strcmp(target, "anon_inode:[io_uring]") == 0;
    if (sscanf(target, "socket:[%lu]", &d.inode) != 1)
        return;
    p->held = tool_grow(p->held, p->held_count, sizeof d);
    p->held[p->held_count++] = d;
}

/* What ends, or becomes another program, is root's to /proc for a moment: the one has nothing any more, and the end of
   the other can be waited for. */
static bool may_be_seen_yet(pid_t pid, bool *ended)
{
    struct tool_proc_stat stat;
    *ended = !tool_proc_stat(pid, &stat) || stat.ends;
    if (*ended)
        return false;
    int copy = tool_proc_copy_fd(pid, 0);
    if (copy >= 0)
        close(copy);
    return true;
}

static DIR *open_descriptors(struct tool_process *p)
{
    char path[PATH_MAX];
    bool ended = false;
    if (!tool_proc_path(path, p->pid, "fd"))
        return NULL;
    DIR *dir = opendir(path);
    if (!dir && may_be_seen_yet(p->pid, &ended))
        dir = opendir(path);
    p->seen = dir || ended;
    return dir;
}

static void read_descriptors(struct tool_process *p)
{
    char target[64];
    struct dirent *entry;
    DIR *dir = open_descriptors(p);
    while (dir && (entry = readdir(dir))) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        take_descriptor(p, entry->d_name, target);
    }
    if (dir)
        closedir(dir);
}

bool tool_process_read(pid_t pid, struct tool_process *p)
{
    struct tool_proc_stat stat;
    if (!tool_proc_stat(pid, &stat))
        return false;
    *p = (struct tool_process){.pid = pid, .parent = stat.parent};
    read_descriptors(p);
    return true;
}

void tool_processes_read(struct tool_processes *out)
{
    struct dirent *entry;
    DIR *dir = opendir("/proc");
    *out = (struct tool_processes){0};
    while (dir && (entry = readdir(dir))) {
        struct tool_process p;
        pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid <= 0 || !tool_process_read(pid, &p))
            continue;
        out->list = tool_grow(out->list, out->count, sizeof p);
        out->list[out->count++] = p;
    }
    if (dir)
        closedir(dir);
}

void tool_processes_free(struct tool_processes *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->list[i].held);
    free(p->list);
    *p = (struct tool_processes){0};
}

const struct tool_process *tool_process_find(const struct tool_processes *all, pid_t pid)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].pid == pid)
            return &all->list[i];
    return NULL;
}

int tool_process_fd(const struct tool_process *p, unsigned long inode)
{
    int lowest = -1;
    for (size_t i = 0; i < p->held_count; i++)
        if (p->held[i].inode == inode && (lowest < 0 || p->held[i].fd < lowest))
            lowest = p->held[i].fd;
    return lowest;
}

bool tool_socket_is_held(const struct tool_processes *all, const struct tool_socket *s)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].belongs && tool_process_fd(&all->list[i], s->inode) >= 0)
            return true;
    return false;
}

/* --- what belongs together --- */

/* The cgroup's path up to the service it is of, "/system.slice/mariadb.service"; false: of none. */
static bool service_of(pid_t pid, char out[PATH_MAX])
{
    char line[PATH_MAX + 64];
    FILE *file = tool_proc_open(pid, "cgroup");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        const char *path = strchr(line, '/'), *end = path;
        for (const char *at = path; at && (at = strstr(at, ".service")); at++)
            if (strchr("/\n", at[strlen(".service")]))
                end = at + strlen(".service");
        found = end > path && (strncmp(line, "0::", 3) == 0 || strstr(line, ":name=systemd:"));
        if (found)
            snprintf(out, PATH_MAX, "%.*s", (int)(end - path), path);
    }
    if (file)
        fclose(file);
    return found;
}

bool tool_process_unit(pid_t pid, char name[256])
{
    char service[PATH_MAX];
    return service_of(pid, service) && snprintf(name, 256, "%s", strrchr(service, '/') + 1) < 256;
}

static void mark_service(struct tool_processes *all, const char *service)
{
    char of[PATH_MAX];
    for (size_t i = 0; i < all->count; i++)
        all->list[i].belongs |= service_of(all->list[i].pid, of) && strcmp(of, service) == 0;
}

static bool is_below(const struct tool_processes *all, const struct tool_process *p, pid_t pid)
{
    for (size_t hops = 0; p && hops < all->count; hops++) {
        if (p->pid == pid)
            return true;
        p = tool_process_find(all, p->parent);
    }
    return false;
}

bool tool_processes_mark(struct tool_processes *all, pid_t pid)
{
    char service[PATH_MAX];
    if (!tool_process_find(all, pid))
        return false;
    for (size_t i = 0; i < all->count; i++)
        all->list[i].belongs = is_below(all, &all->list[i], pid);
    if (service_of(pid, service))
        mark_service(all, service);
    return true;
}

bool tool_processes_of(const char *what, struct tool_processes *out, pid_t *main_pid, char error[512])
{
    struct tool_unit_state state = {0};
    char name[256];
    bool is_pid = *what && strlen(what) < 10 && !what[strspn(what, "0123456789")];
    snprintf(error, 512, "%s: there is no such process", what);
    if (!is_pid && (!tool_unit_name(what, name) || !tool_unit_state_ask(name, &state) || state.main_pid <= 0)) {
        snprintf(error, 512, "%.400s: no such service runs here", what);
        return false;
    }
    *main_pid = is_pid ? (pid_t)atoi(what) : state.main_pid;
    tool_processes_read(out);
    if (tool_processes_mark(out, *main_pid))
        return true;
    tool_processes_free(out);
    return false;
}

/* --- sockets --- */

static void add_socket(struct tool_sockets *out, const struct tool_socket *s)
{
    if (!s->inode) /* TIME_WAIT and its like are nobody's */
        return;
    out->list = tool_grow(out->list, out->count, sizeof *s);
    out->list[out->count++] = *s;
}

/* "0100007F" or the 32 digits of IPv6: 32-bit words in this machine's order. */
static struct pps_addr address_of(const char *digits, unsigned port)
{
    uint32_t words[4] = {0};
    bool inet6 = strlen(digits) == 32;
    for (int i = 0; i < (inet6 ? 4 : 1); i++)
        sscanf(digits + 8 * i, "%8x", &words[i]);
    return (inet6 ? pps_addr_v6 : pps_addr_v4)((const uint8_t *)words, (uint16_t)port);
}

static void take_tcp(struct tool_sockets *out, const char *line)
{
    char local[33], peer[33];
    unsigned local_port, peer_port, state;
    struct tool_socket s = {0};
    if (sscanf(line, " %*u: %32[0-9A-F]:%x %32[0-9A-F]:%x %x %*s %*s %*s %*s %*s %lu", local, &local_port, peer,
               &peer_port, &state, &s.inode) != 6)
        return;
    s.local = address_of(local, local_port);
    s.peer = address_of(peer, peer_port);
    s.listens = state == 0x0a;
    add_socket(out, &s);
}

static void take_unix(struct tool_sockets *out, const char *line)
{
    struct tool_socket s = {.listens = true};
    unsigned flags;
    if (sscanf(line, "%*x: %*x %*x %x %*x %*x %lu %111[^\n]", &flags, &s.inode, s.unix_name) == 3 && flags & 0x10000)
        add_socket(out, &s);
}

static void read_table(pid_t pid, const char *name, void (*take)(struct tool_sockets *, const char *),
                       struct tool_sockets *out)
{
    char *line = NULL;
    size_t size = 0;
    FILE *file = tool_proc_open(pid, name);
    while (file && getline(&line, &size, file) > 0)
        take(out, line);
    if (file)
        fclose(file);
    free(line);
}

static int by_inode(const void *a, const void *b)
{
    unsigned long one = ((const struct tool_socket *)a)->inode, other = ((const struct tool_socket *)b)->inode;
    return one < other ? -1 : one > other;
}

void tool_sockets_read(pid_t pid, struct tool_sockets *out)
{
    *out = (struct tool_sockets){0};
    read_table(pid, "net/tcp", take_tcp, out);
    read_table(pid, "net/tcp6", take_tcp, out);
    read_table(pid, "net/unix", take_unix, out);
    if (out->count)
        qsort(out->list, out->count, sizeof *out->list, by_inode);
}

void tool_sockets_free(struct tool_sockets *s)
{
    free(s->list);
    *s = (struct tool_sockets){0};
}

const struct tool_socket *tool_socket_find(const struct tool_sockets *s, unsigned long inode)
{
    const struct tool_socket key = {.inode = inode};
    return s->count ? bsearch(&key, s->list, s->count, sizeof key, by_inode) : NULL;
}

const char *tool_socket_text(const struct tool_socket *s, char text[120])
{
    if (*s->unix_name)
        snprintf(text, 120, "unix:%s", s->unix_name);
    else
        pps_addr_text(&s->local, text);
    return text;
}
