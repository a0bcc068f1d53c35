/* SPDX-License-Identifier: MIT
 *
 * peer_socket.c: the client's address in the socket's 32 bytes (peer_parts.h).
 */
#include "peer_parts.h"
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
    uint8_t form;
    uint8_t zero[3];
    uint8_t port[2];
    uint8_t ip[16];
    uint8_t spare[2];
};
_Static_assert(sizeof(struct tag) == 32, "the kernel takes exactly two keys of 16 bytes");

#define NO_ADDR 0xff /* in place of a form */

static const uint8_t tag_magic[4] = {0x9c, 'P', 'P', 0x01};

bool pps_peer_to_socket(int fd, uint32_t peer_sum, const struct pps_client *client)
{
    struct tag tag = {.form = client->has_addr ? (uint8_t)client->form : NO_ADDR};
    memcpy(tag.magic, tag_magic, sizeof tag.magic);
    memcpy(tag.peer_sum, &peer_sum, sizeof tag.peer_sum);
    if (client->has_addr) {
        tag.port[0] = (uint8_t)(client->addr.port >> 8);
        tag.port[1] = (uint8_t)client->addr.port;
        memcpy(tag.ip, client->addr.ip, sizeof tag.ip);
    }
    return setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &tag, sizeof tag) == 0;
}

static bool genuine(const struct tag *tag, uint32_t peer_sum)
{
    return memcmp(tag->magic, tag_magic, sizeof tag_magic) == 0 &&
           memcmp(tag->peer_sum, &peer_sum, sizeof tag->peer_sum) == 0 &&
           (tag->form <= PPS_FORM_INET6 || tag->form == NO_ADDR);
}

bool pps_peer_from_socket(int fd, uint32_t peer_sum, struct pps_client *out)
{
    struct tag tag;
    socklen_t len = sizeof tag;
    if (getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &tag, &len) != 0 || len != sizeof tag || !genuine(&tag, peer_sum))
        return false;
    *out = (struct pps_client){.has_addr = tag.form != NO_ADDR};
    if (!out->has_addr)
        return true;
    out->form = (enum pps_addr_form)tag.form;
    out->addr.port = (uint16_t)(tag.port[0] << 8 | tag.port[1]);
    memcpy(out->addr.ip, tag.ip, sizeof tag.ip);
    return true;
}

bool pps_peer_socket_keeps(int fd)
{
    static const struct tag blank;
    return setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &blank, sizeof blank) == 0;
}

bool pps_peer_socket_is_marked(int fd)
{
    struct tag tag;
    socklen_t len = sizeof tag;
    return getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &tag, &len) == 0 && len == sizeof tag &&
           memcmp(tag.magic, tag_magic, sizeof tag_magic) == 0;
}
