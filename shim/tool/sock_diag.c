/* SPDX-License-Identifier: MIT
 *
 * sock_diag.c: see sock_diag.h.
 */
#include "sock_diag.h"
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define RECEIVE_BUFFER (32 << 20)
#define ENDED_STATES (1 << 6 | 1 << 7 | 1 << 10) /* TIME_WAIT, CLOSE, LISTEN: no connection of anybody's */

static void enlarge(int fd)
{
    int size = RECEIVE_BUFFER;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

static void close_socket(struct mnl_socket *nl)
{
    int error = errno;
    if (nl)
        mnl_socket_close(nl);
    errno = error;
}

/* NULL and errno. */
static struct mnl_socket *open_socket(void)
{
    struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
    if (nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0)
        return nl;
    close_socket(nl);
    return NULL;
}

struct mnl_socket *tool_ends_open(void)
{
    static const int groups[] = {SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY};
    struct mnl_socket *nl = open_socket();
    if (!nl)
        return NULL;
    enlarge(mnl_socket_get_fd(nl));
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (mnl_socket_setsockopt(nl, NETLINK_ADD_MEMBERSHIP, (void *)&groups[i], sizeof *groups) < 0) {
            close_socket(nl);
            return NULL;
        }
    return nl;
}

/* --- one end --- */

static struct pps_addr address_of(const struct inet_diag_msg *m, const __be32 ip[4], __be16 port)
{
    const uint8_t *bytes = (const uint8_t *)ip;
    return m->idiag_family == AF_INET6 ? pps_addr_v6(bytes, ntohs(port)) : pps_addr_v4(bytes, ntohs(port));
}

static uint64_t cookie_of(const struct inet_diag_msg *m)
{
    return (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
}

/* A FIN that was sent counts among what is acknowledged, and not among what was sent. */
static void judge(const struct inet_diag_msg *m, const struct tcp_info *info, struct tool_end *end)
{
    uint64_t sent = info->tcpi_bytes_sent - info->tcpi_bytes_retrans;
    bool fin_acknowledged = info->tcpi_bytes_acked > sent;
    end->bytes_out = fin_acknowledged ? sent : info->tcpi_bytes_acked;
    if (fin_acknowledged)
        end->how = TOOL_ENDED_CLOSED;
    else if (m->idiag_wqueue && (info->tcpi_retransmits || info->tcpi_probes || info->tcpi_backoff))
        end->how = TOOL_ENDED_TIMEOUT;
    else
        end->how = TOOL_ENDED_RESET;
}

static void read_counts(const struct inet_diag_msg *m, const struct nlattr *a, struct tool_end *end)
{
    struct tcp_info info = {0};
    size_t length = mnl_attr_get_payload_len(a);
    memcpy(&info, mnl_attr_get_payload(a), length < sizeof info ? length : sizeof info);
    end->bytes_in = info.tcpi_bytes_received;
    end->bytes_out = info.tcpi_bytes_acked;
    if (length >= offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof info.tcpi_bytes_retrans) /* Linux 4.19 */
        judge(m, &info, end);
}

struct ends {
    void (*take)(const struct tool_end *end, void *arg);
    void *arg;
};

static int take_end(const struct nlmsghdr *h, void *arg)
{
    const struct ends *ends = arg;
    const struct inet_diag_msg *m = mnl_nlmsg_get_payload(h);
    struct tool_end end = {0};
    const struct nlattr *a;
    if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || mnl_nlmsg_get_payload_len(h) < sizeof *m)
        return MNL_CB_OK;
    end.cookie = cookie_of(m);
    end.local = address_of(m, m->id.idiag_src, m->id.idiag_sport);
    end.peer = address_of(m, m->id.idiag_dst, m->id.idiag_dport);
    mnl_attr_for_each(a, h, sizeof *m) if (mnl_attr_get_type(a) == INET_DIAG_INFO) read_counts(m, a, &end);
    ends->take(&end, ends->arg);
    return MNL_CB_OK;
}

void tool_ends_parse(const void *message, size_t length, void (*take)(const struct tool_end *end, void *arg), void *arg)
{
    struct ends ends = {take, arg};
    mnl_cb_run(message, length, 0, 0, take_end, &ends);
}

/* --- all that are --- */

struct alive {
    void (*take)(uint64_t cookie, void *arg);
    void *arg;
};

static int take_socket(const struct nlmsghdr *h, void *arg)
{
    const struct alive *alive = arg;
    if (mnl_nlmsg_get_payload_len(h) >= sizeof(struct inet_diag_msg))
        alive->take(cookie_of(mnl_nlmsg_get_payload(h)), alive->arg);
    return MNL_CB_OK;
}

static bool ask(struct mnl_socket *nl, uint8_t family, struct alive *alive)
{
    char buffer[1 << 15];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
    struct inet_diag_req_v2 *r = mnl_nlmsg_put_extra_header(h, sizeof *r);
    h->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    r->sdiag_family = family;
    r->sdiag_protocol = IPPROTO_TCP;
    r->idiag_states = ~(uint32_t)ENDED_STATES;
    if (mnl_socket_sendto(nl, h, h->nlmsg_len) < 0)
        return false;
    while (true) {
        ssize_t n = mnl_socket_recvfrom(nl, buffer, sizeof buffer);
        int more = n < 0 ? -1 : mnl_cb_run(buffer, (size_t)n, 0, 0, take_socket, alive);
        if (more <= MNL_CB_STOP)
            return more == MNL_CB_STOP;
    }
}

bool tool_sockets_alive(void (*take)(uint64_t cookie, void *arg), void *arg)
{
    struct alive alive = {take, arg};
    struct mnl_socket *nl = open_socket();
    bool good = nl && ask(nl, AF_INET, &alive) && ask(nl, AF_INET6, &alive);
    close_socket(nl);
    return good;
}
