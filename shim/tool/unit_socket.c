/* SPDX-License-Identifier: MIT
 *
 * unit_socket.c: see unit_socket.h. As systemd.socket(5) says: Service=, or the one of its name, which is a template
 * with Accept=yes.
 */
#include "unit_socket.h"
#include "tool.h"
#include "unit_env.h"
#include "unit_find.h"
#include "unit_lines.h"
#include <stdlib.h>
#include <string.h>

struct socket {
    bool accepts;
    char service[256];
};

static bool is_yes(const char *value)
{
    static const char *const yes[] = {"yes", "y", "true", "t", "on", "1"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (strcasecmp(value, yes[i]) == 0)
            return true;
    return false;
}

static void take(void *with, const char *key, const char *value, unsigned line)
{
    struct socket *s = with;
    (void)line;
    if (strcmp(key, "Accept") == 0)
        s->accepts = is_yes(value);
    else if (strcmp(key, "Service") == 0)
        snprintf(s->service, sizeof s->service, "%s", value);
}

static void read_file(struct socket *s, const char *root, const char *path)
{
    char *full = tool_text("%s%s", root, path), *text = tool_slurp(full, NULL);
    if (text)
        tool_unit_lines(text, "[Socket]", take, s);
    free(text);
    free(full);
}

char *tool_socket_hint(const char *root, const char *given)
{
    struct socket s = {.accepts = false};
    struct tool_found found;
    char name[256], error[512];
    const char *suffix = strrchr(given, '.');
    if (!suffix || strcmp(suffix, ".socket") != 0 || strchr(given, '/') || strlen(given) >= sizeof name)
        return tool_text("%s", "");
    strcpy(name, given);
    if (!tool_unit_find(root, name, NULL, &found, error))
        return tool_text("%s", "");
    read_file(&s, root, found.path);
    for (size_t i = 0; i < found.count; i++)
        read_file(&s, root, found.dropins[i].path);
    free(found.dropins);
    if (!*s.service)
        snprintf(s.service, sizeof s.service, "%.*s%s.service", (int)(suffix - given), given, s.accepts ? "@" : "");
    return tool_text(": it is a socket, name the service that it starts: %s", s.service);
}
