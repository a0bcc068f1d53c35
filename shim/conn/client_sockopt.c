/* SPDX-License-Identifier: MIT
 *
 * client_sockopt.c: the client's address in the socket's 32 bytes (client_internal.h).
 */
#include "client_internal.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#ifndef TCP_FASTOPEN_KEY
#define TCP_FASTOPEN_KEY 33
#endif

/* What the 32 bytes hold. A socket nobody tagged answers with nothing or with the network namespace's real key: the
   magic and the peer's checksum, 64 bits together, tell a tag from a key. */
struct tag {
    uint8_t magic[4];
    uint8_t peer_sum[4];
    uint8_t since[4]; /* this and peer_sum in this machine's order */
    uint8_t flags;
    uint8_t zero;
    uint8_t port[2];
    uint8_t ip[16]; /* with LOCAL_HERE: the local address, its port, and in the last 4 bytes the client's */
};
_Static_assert(sizeof(struct tag) == 32, "the kernel takes exactly two keys of 16 bytes");

enum { HAS_ADDR = 1, V6ONLY = 2, LOCAL_HERE = 4, LOCAL_ELSEWHERE = 8 };

static const uint8_t tag_magic[4] = {0x9c, 'P', 'P', 0x02};

static void put_port(uint8_t out[2], uint16_t port)
{
    out[0] = (uint8_t)(port >> 8);
    out[1] = (uint8_t)port;
}

static uint16_t get_port(const uint8_t in[2])
{
    return (uint16_t)(in[0] << 8 | in[1]);
}

static uint8_t place_of_local(const struct pps_client *c)
{
    if (!c->has_local)
        return 0;
    return pps_addr_is_v4(&c->addr) && pps_addr_is_v4(&c->local) ? LOCAL_HERE : LOCAL_ELSEWHERE;
}

static void put_client(struct tag *tag, const struct pps_client *c)
{
    tag->flags = HAS_ADDR | (c->v6only ? V6ONLY : 0) | place_of_local(c);
    put_port(tag->port, c->addr.port);
    memcpy(tag->ip, c->addr.ip, sizeof tag->ip);
    if (tag->flags & LOCAL_HERE) {
        memcpy(tag->ip, c->local.ip + 12, 4);
        put_port(tag->ip + 4, c->local.port);
    }
}

static void get_client(const struct tag *tag, struct pps_client *c)
{
    c->has_addr = true;
    c->v6only = tag->flags & V6ONLY;
    c->has_local = tag->flags & LOCAL_HERE;
    if (c->has_local) {
        c->addr = pps_addr_v4(tag->ip + 12, get_port(tag->port));
        c->local = pps_addr_v4(tag->ip, get_port(tag->ip + 4));
    } else {
        c->addr = pps_addr_v6(tag->ip, get_port(tag->port));
    }
}

bool pps_client_to_socket(int fd, uint32_t peer_sum, const struct pps_client *client, bool *partly)
{
    struct tag tag = {.flags = 0};
    memcpy(tag.magic, tag_magic, sizeof tag.magic);
    memcpy(tag.peer_sum, &peer_sum, sizeof tag.peer_sum);
    memcpy(tag.since, &client->since, sizeof tag.since);
    if (client->has_addr)
        put_client(&tag, client);
    *partly = tag.flags & LOCAL_ELSEWHERE;
    return setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &tag, sizeof tag) == 0;
}

static bool genuine(const struct tag *tag, uint32_t peer_sum)
{
    return memcmp(tag->magic, tag_magic, sizeof tag_magic) == 0 &&
           memcmp(tag->peer_sum, &peer_sum, sizeof tag->peer_sum) == 0;
}

/* As a kernel without such bytes, or a socket of another kind, answers. */
static bool keeps_nothing(int error)
{
    return error == ENOPROTOOPT || error == EOPNOTSUPP || error == ENOTCONN || error == EINVAL;
}

enum pps_recalled pps_client_from_socket(int fd, uint32_t peer_sum, struct pps_client *out, bool *partly)
{
    struct tag tag;
    socklen_t len = sizeof tag;
    if (getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &tag, &len) != 0)
        return keeps_nothing(errno) ? PPS_RECALLED_NOTHING : PPS_RECALL_FAILED;
    if (len != sizeof tag || !genuine(&tag, peer_sum))
        return PPS_RECALLED_NOTHING;
    *out = (struct pps_client){.has_addr = false};
    memcpy(&out->since, tag.since, sizeof tag.since);
    if (tag.flags & HAS_ADDR)
        get_client(&tag, out);
    *partly = tag.flags & LOCAL_ELSEWHERE;
    return PPS_RECALLED;
}

bool pps_client_socket_keeps(int fd)
{
    static const struct tag blank;
    return setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &blank, sizeof blank) == 0;
}

bool pps_client_socket_is_marked(int fd)
{
    struct tag tag;
    socklen_t len = sizeof tag;
    return getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &tag, &len) == 0 && len == sizeof tag &&
           memcmp(tag.magic, tag_magic, sizeof tag_magic) == 0;
}
