/* SPDX-License-Identifier: MIT
 *
 * govern.c: see govern.h.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <ppshim/client.h>
#include <ppshim/govern.h>
#include <ppshim/limits.h>
#include <ppshim/log.h>
#include <ppshim/trust.h>
#include <stdatomic.h>
#include <sys/socket.h>

static void say_active(const struct pps_config *c, const struct pps_probe *p)
{
    struct pps_line l;
    pps_line_begin(&l, "active");
    pps_line_word(&l, "version", PPS_VERSION);
    pps_line_exe(&l, "exe");
    if (p->is_unix)
        pps_line_listener(&l, "listen", &p->name);
    else
        pps_line_addr(&l, "listen", &p->local);
    pps_line_number(&l, "trust", pps_trust_prefixes());
    pps_line_text(&l, "-prefixes");
    bool whole = c->timeout_ms % 1000 == 0;
    pps_line_number(&l, "timeout", whole ? c->timeout_ms / 1000 : c->timeout_ms);
    pps_line_text(&l, whole ? "s" : "ms");
    pps_line_word(&l, "untrusted", c->reject_untrusted ? "reject" : "pass");
    pps_line_word(&l, "store", pps_client_store());
    pps_log(PPS_LOG_NOTICE, &l);
}

static void defer_accept(const struct pps_config *c, int fd)
{
    int seconds = (int)((c->timeout_ms + 999) / 1000);
    setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
}

bool pps_govern_wants(const struct pps_config *c, struct pps_probe *p)
{
    if (p->is_unix)
        return pps_trust_names(c, &p->name);
    return p->tcp && pps_config_governs(c, p->local.port);
}

bool pps_govern_begin(const struct pps_config *c, int fd, const struct pps_probe *p, char error[PPS_ERROR_TEXT])
{
    static atomic_bool said;
    if (!pps_trust_load(c, error) || !pps_limits_begin(c, error) || !pps_limits_suit(c, fd, error))
        return false;
    if (!atomic_load(&said) && !atomic_exchange(&said, true))
        say_active(c, p);
    if (c->defer_accept && p->tcp)
        defer_accept(c, fd);
    return true;
}

void pps_govern_pass_over(const struct pps_config *c, const struct pps_probe *p)
{
    static atomic_bool said;
    struct pps_line l;
    if (c->every_port || !p->tcp || atomic_load(&said) || atomic_exchange(&said, true))
        return;
    pps_line_begin(&l, "not-governed");
    pps_line_addr(&l, "listen", &p->local);
    pps_line_word(&l, "hint", "PPSHIM_PORTS-names-others");
    pps_log(PPS_LOG_NOTICE, &l);
}

void pps_govern_prepare(const struct pps_config *c, int fd)
{
    struct pps_probe p;
    char error[PPS_ERROR_TEXT];
    if (!pps_probe(fd, &p) || !p.listens || !pps_govern_wants(c, &p))
        return;
    pps_trust_load(c, error);
    pps_limits_begin(c, error);
}

void pps_govern_refresh(void)
{
    char news[PPS_ERROR_TEXT];
    bool failed;
    struct pps_line l;
    if (!pps_trust_refresh(news, &failed))
        return;
    pps_line_begin(&l, news);
    pps_log(failed ? PPS_LOG_ERROR : PPS_LOG_NOTICE, &l);
}
