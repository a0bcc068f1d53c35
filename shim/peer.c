/* SPDX-License-Identifier: MIT
 *
 * peer.c: the client's address in the socket's 32 bytes (peer.h).
 */
#include <netinet/in.h>
#include <ppshim/header.h>
#include <ppshim/peer.h>
#include <ppshim/real.h>
#include <string.h>

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

static void peer_sum(const struct pps_addr *peer, uint8_t out[4])
{
    uint32_t sum = pps_crc32c(pps_crc32c(0, peer->ip, sizeof peer->ip), &peer->port, sizeof peer->port);
    memcpy(out, &sum, sizeof sum);
}

bool pps_peer_remember(int fd, const struct pps_addr *peer, const struct pps_client *client)
{
    struct tag tag = {.form = client->has_addr ? (uint8_t)client->form : NO_ADDR};
    memcpy(tag.magic, tag_magic, sizeof tag.magic);
    peer_sum(peer, tag.peer_sum);
    if (client->has_addr) {
        tag.port[0] = (uint8_t)(client->addr.port >> 8);
        tag.port[1] = (uint8_t)client->addr.port;
        memcpy(tag.ip, client->addr.ip, sizeof tag.ip);
    }
    return setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &tag, sizeof tag) == 0;
}

bool pps_peer_outlives_exec(int fd)
{
    static const struct tag blank;
    return setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &blank, sizeof blank) == 0;
}

bool pps_peer_is_marked(int fd)
{
    struct tag tag;
    socklen_t len = sizeof tag;
    return getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &tag, &len) == 0 && len == sizeof tag &&
           memcmp(tag.magic, tag_magic, sizeof tag_magic) == 0;
}

static bool genuine(const struct tag *tag, const struct pps_addr *peer)
{
    uint8_t sum[4];
    peer_sum(peer, sum);
    return memcmp(tag->magic, tag_magic, sizeof tag_magic) == 0 && memcmp(tag->peer_sum, sum, sizeof sum) == 0 &&
           (tag->form <= PPS_FORM_INET6 || tag->form == NO_ADDR);
}

bool pps_peer_recall(int fd, const struct pps_addr *peer, struct pps_client *out)
{
    struct tag tag;
    socklen_t len = sizeof tag;
    if (getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &tag, &len) != 0 || len != sizeof tag || !genuine(&tag, peer))
        return false;
    *out = (struct pps_client){.has_addr = tag.form != NO_ADDR};
    if (!out->has_addr)
        return true;
    out->form = (enum pps_addr_form)tag.form;
    out->addr.port = (uint16_t)(tag.port[0] << 8 | tag.port[1]);
    memcpy(out->addr.ip, tag.ip, sizeof tag.ip);
    return true;
}

bool pps_peer_supported(void)
{
    static const struct pps_addr nobody;
    static const struct pps_client none = {.has_addr = false};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) /* an IPv6-only container */
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool kept = pps_peer_remember(fd, &nobody, &none);
    real_close(fd);
    return kept;
}
