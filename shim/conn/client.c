/* SPDX-License-Identifier: MIT
 *
 * client.c: decides where a client is remembered (client.h): in its socket if the kernel lets us, else in the table; in
 * both if not all of it fits into the socket.
 */
#include "client_internal.h"
#include <ppshim/header.h>
#include <ppshim/real.h>
#include <string.h>

static const struct pps_client_store *fallback;
static bool leave_sockets_alone; /* a test says so; set before anything is remembered */

static uint32_t sum_of(const struct pps_addr *peer)
{
    return pps_crc32c(pps_crc32c(0, peer->ip, sizeof peer->ip), &peer->port, sizeof peer->port);
}

static bool to_socket(int fd, uint32_t peer_sum, const struct pps_client *client, bool *partly)
{
    return !leave_sockets_alone && pps_client_to_socket(fd, peer_sum, client, partly);
}

bool pps_client_remember(int fd, const struct pps_addr *peer, const struct pps_client *client)
{
    uint32_t sum = sum_of(peer);
    bool partly;
    return (to_socket(fd, sum, client, &partly) && !partly) || (fallback && fallback->remember(fd, sum, client));
}

enum pps_recalled pps_client_recall(int fd, const struct pps_addr *peer, struct pps_client *out)
{
    uint32_t sum = sum_of(peer);
    bool partly;
    enum pps_recalled told = PPS_RECALLED_NOTHING;
    if (!leave_sockets_alone)
        told = pps_client_from_socket(fd, sum, out, &partly);
    if (told == PPS_RECALLED && !partly)
        return told;
    return fallback && fallback->recall(fd, sum, out) ? PPS_RECALLED : told;
}

bool pps_client_outlives_exec(int fd)
{
    return !leave_sockets_alone && pps_client_socket_keeps(fd);
}

bool pps_client_is_marked(int fd)
{
    return pps_client_socket_is_marked(fd);
}

const char *pps_client_store(void)
{
    static const struct pps_client none = {.has_addr = false};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) /* an IPv6-only container */
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool partly, kept = fd >= 0 && to_socket(fd, 0, &none, &partly);
    if (fd >= 0)
        real_close(fd);
    return kept ? "socket" : "table";
}

void pps_client_test_store(const char *store)
{
    leave_sockets_alone = store && strcmp(store, "table") == 0;
}

void pps_client_fall_back_on(const struct pps_client_store *store)
{
    fallback = store;
}
