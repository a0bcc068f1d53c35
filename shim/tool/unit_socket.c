/* SPDX-License-Identifier: MIT
 *
 * unit_socket.c: see unit_socket.h. As systemd.socket(5) says: Service=, or the one of its name, which is a template
 * with Accept=yes.
 */
#include "unit_socket.h"
#include "tool.h"
#include "unit_env.h"
#include "unit_find.h"
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

/* The text between spaces, in place. */
static char *trimmed(char *text)
{
    static const char spaces[] = " \t\r";
    text += strspn(text, spaces);
    for (size_t length = strlen(text); length && strchr(spaces, text[length - 1]);)
        text[--length] = 0;
    return text;
}

static void read_file(struct socket *s, const char *root, const char *path)
{
    char *full = tool_text("%s%s", root, path), *text = tool_slurp(full, NULL), *rest = text, *line;
    bool ours = false;
    while ((line = strsep(&rest, "\n"))) {
        line = trimmed(line);
        char *value = strchr(line, '=');
        if (*line == '[')
            ours = strcmp(line, "[Socket]") == 0;
        if (!ours || !value)
            continue;
        *value = 0;
        value = trimmed(value + 1);
        line = trimmed(line);
        if (strcmp(line, "Accept") == 0)
            s->accepts = is_yes(value);
        else if (strcmp(line, "Service") == 0)
            snprintf(s->service, sizeof s->service, "%s", value);
    }
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
