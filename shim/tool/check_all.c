/* SPDX-License-Identifier: MIT
 *
 * check_all.c: everything on this system that is given the library, or has it (check.h).
 */
#include "check.h"
#include "image.h"
#include "tool.h"
#include "unit_find.h"
#include "units.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void tell_unit(const char *root, const char *name, const char *library, tool_tell *tell, void *with)
{
    struct tool_report r = {.subject = tool_text("%s", name)};
    struct tool_unit unit;
    char error[512];
    if (tool_unit_read(&unit, root, name, NULL, NULL, error)) {
        tool_check_unit(&r, &unit, library);
        tool_unit_free(&unit);
    } else {
        tool_judge(&r, TOOL_VERDICT_NO, "%s", error);
    }
    tell(&r, with);
    tool_report_free(&r);
}

static bool has_name(const struct tool_names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->list[i], name) == 0)
            return true;
    return false;
}

/* A process of its own: the library in it, and its parent has none of its listeners. */
static bool leads(const struct tool_processes *all, const struct tool_sockets *sockets, const struct tool_process *p)
{
    const struct tool_process *parent = tool_process_find(all, p->parent);
    bool listens = false;
    for (size_t i = 0; i < p->held_count; i++) {
        const struct tool_socket *s = tool_socket_find(sockets, p->held[i].inode);
        if (!s || !s->listens || *s->unix_name)
            continue;
        if (parent && parent->pid != 1 && tool_process_fd(parent, s->inode) >= 0)
            return false;
        listens = true;
    }
    return listens;
}

static void tell_process(const struct tool_process *p, struct tool_processes *all, tool_tell *tell, void *with)
{
    char name[PATH_MAX] = "", link[64];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)p->pid);
    ssize_t n = readlink(link, name, sizeof name - 1);
    name[n > 0 ? n : 0] = 0;
    struct tool_report r = {.subject = tool_text("process %d (%s)", (int)p->pid, name)};
    tool_check_process_among(&r, p->pid, NULL, all);
    tell(&r, with);
    tool_report_free(&r);
}

void tool_tell_units(const char *root, const char *library, tool_tell *tell, void *with)
{
    struct tool_names governed;
    tool_units_governed(root, &governed);
    for (size_t i = 0; i < governed.count; i++)
        tell_unit(root, governed.list[i], library, tell, with);
    tool_names_free(&governed);
}

void tool_tell_processes(tool_tell *tell, void *with)
{
    struct tool_names governed;
    struct tool_processes all;
    char unit[256];
    tool_units_governed("", &governed);
    tool_processes_read(&all);
    for (size_t i = 0; i < all.count; i++) {
        struct tool_sockets sockets;
        const struct tool_process *p = &all.list[i];
        if (!p->held_count || !tool_image_is_meant(p->pid) ||
            (tool_process_unit(p->pid, unit) && has_name(&governed, unit)))
            continue;
        tool_sockets_read(p->pid, &sockets); /* of its own network namespace */
        if (leads(&all, &sockets, p))
            tell_process(p, &all, tell, with);
        tool_sockets_free(&sockets);
    }
    tool_processes_free(&all);
    tool_names_free(&governed);
}
