/* SPDX-License-Identifier: MIT
 *
 * check_reach.c: can anybody in the lists connect to what is governed? (check.h) A list for 10/8 and a listener on
 * 127.0.0.1 are each good, and together they take no header ever.
 */
#include "../policy/text.h"
#include "check.h"
#include <ppshim/cidr.h>
#include <stdlib.h>
#include <string.h>

/* false: not all of it is seen from here (files), or it is not good (which others tell). */
static bool add_list(struct pps_cidr_builder *b, const char *list)
{
    struct pps_text rest = pps_text_of(list ? list : ""), word;
    char why[256];
    while (pps_text_next(&rest, &word))
        if (pps_text_begins(word, "@") ||
            (!pps_text_begins(word, "unix:") && !pps_cidr_add(b, word.at, word.length, why, sizeof why)))
            return false;
    return true;
}

static bool read_set(const char *const *lists, size_t count, struct pps_cidr_set *out)
{
    struct pps_cidr_builder b = PPS_CIDR_BUILDER_INIT;
    char why[256];
    bool good = true;
    for (size_t i = 0; i < count; i++)
        good = good && add_list(&b, lists[i]);
    if (good)
        return pps_cidr_finish(&b, out, why, sizeof why);
    pps_cidr_abandon(&b);
    return false;
}

/* From where the kernel lets peers connect to this address, nearly: a host may connect to its own 127.0.0.1 from an
   address of another interface, but who does? */
static const char *peers_of(const struct pps_addr *local)
{
    static const struct pps_addr any6 = {0};
    if (pps_addr_is_loopback(local))
        return pps_addr_is_v4(local) ? "127.0.0.0/8" : "::1";
    if (memcmp(local->ip, any6.ip, sizeof any6.ip) == 0)
        return "0.0.0.0/0 ::/0";
    return pps_addr_is_v4(local) ? "0.0.0.0/0" : "::/0";
}

static void warn_of(struct tool_report *r, const struct tool_socket *s, const struct pps_cidr_set *trusted)
{
    struct pps_cidr_set peers = {0};
    struct pps_addr common;
    char text[120];
    const char *from = peers_of(&s->local);
    if (!read_set(&from, 1, &peers))
        return;
    if (trusted->count && pps_cidr_disjoint(trusted, &peers, &common))
        tool_warn(r, "trust",
                  "nobody in the lists can connect to %s, whose peers are in %s: it will never take a header",
                  tool_socket_text(s, text), from);
    pps_cidr_free(&peers);
}

void tool_warn_unreachable(struct tool_report *r, const struct tool_processes *all, const struct tool_sockets *sockets,
                           const struct pps_config *config)
{
    const char *const lists[] = {config->trust, config->header_optional};
    struct pps_cidr_set trusted = {0};
    if (!config->on || !read_set(lists, 2, &trusted))
        return;
    for (size_t i = 0; i < sockets->count; i++) {
        const struct tool_socket *s = &sockets->list[i];
        if (s->listens && !*s->unix_name && pps_config_governs(config, s->local.port) && tool_socket_is_held(all, s))
            warn_of(r, s, &trusted);
    }
    pps_cidr_free(&trusted);
}

void tool_warn_unreachable_of(struct tool_report *r, pid_t pid, const struct tool_env *env)
{
    static struct pps_config config;
    struct tool_processes all;
    struct tool_sockets sockets;
    char error[PPS_ERROR_TEXT];
    char **vector = tool_env_vector(env);
    bool good = pps_config_read(vector, &config, error);
    free(vector);
    if (!good)
        return;
    tool_processes_read(&all);
    tool_processes_mark(&all, pid);
    tool_sockets_read(pid, &sockets);
    tool_warn_unreachable(r, &all, &sockets, &config);
    tool_sockets_free(&sockets);
    tool_processes_free(&all);
}
