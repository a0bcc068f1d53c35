/* SPDX-License-Identifier: MIT
 *
 * opening.c: see opening.h. Owns what the environment said, read once when the library is loaded and never changed.
 *
 * A value that is not what `ppshim connect` writes ends the program: a connection must not go out without its header.
 */
#include "opening.h"
#include "../protocol/header_internal.h"
#include <ppshim/config.h>
#include <ppshim/header.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct only {
    struct pps_addr addr;
    bool any_host, any_port;
} only[PPC_ONLY_MAX];
static size_t only_count;

static uint8_t template_bytes[PPC_HEADER_MAX];
static struct pps_header template; /* length 0: no connection opens with a header */
static bool destination_is_peer;

static void give_up(const char *name)
{
    fprintf(stderr, "libppconnect: %s is not what ppshim connect writes\n", name);
    _exit(PPS_EXIT_CONFIG);
}

static int digit_of(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static bool read_hex(const char *text, uint8_t *out, size_t size, size_t *length)
{
    for (*length = 0; *text; (*length)++, text += 2) {
        int high = digit_of(text[0]), low = high < 0 ? -1 : digit_of(text[1]);
        if (low < 0 || *length == size)
            return false;
        out[*length] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool read_template(const char *text)
{
    size_t length, need;
    enum pps_reason reason;
    struct pps_header h;
    if (!read_hex(text, template_bytes, sizeof template_bytes, &length) ||
        pps_header_parse(template_bytes, length, &h, &need, &reason) != PPS_HEADER_COMPLETE || h.length != length)
        return false;
    template = h;
    return true;
}

static bool read_host(const char *text, size_t length, struct only *o)
{
    bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';
    o->any_host = length == 1 && *text == '*';
    return o->any_host ||
           pps_scan_ip(bracketed ? AF_INET6 : AF_INET, text + bracketed, length - 2 * bracketed, &o->addr);
}

static bool read_port(const char *text, size_t length, struct only *o)
{
    unsigned port = 0;
    o->any_port = length == 1 && *text == '*';
    if (o->any_port)
        return true;
    for (size_t i = 0; i < length; i++) {
        port = port * 10 + (unsigned)(text[i] - '0');
        if (text[i] < '0' || text[i] > '9' || port > 65535)
            return false;
    }
    o->addr.port = (uint16_t)port;
    return length > 0;
}

static bool read_only(const char *text)
{
    for (size_t length; *(text += strspn(text, " ")); text += length) {
        length = strcspn(text, " ");
        const char *colon = memrchr(text, ':', length);
        struct only *o = &only[only_count++];
        if (only_count > PPC_ONLY_MAX || !colon || !read_host(text, (size_t)(colon - text), o) ||
            !read_port(colon + 1, (size_t)(text + length - colon - 1), o))
            return false;
    }
    return only_count > 0;
}

__attribute__((constructor)) static void start(void)
{
    const char *header = secure_getenv(PPC_HEADER), *to = secure_getenv(PPC_DESTINATION),
               *among = secure_getenv(PPC_ONLY);
    if (!header)
        return;
    destination_is_peer = to != NULL;
    if (to && strcmp(to, "peer") != 0)
        give_up(PPC_DESTINATION);
    if (among && !read_only(among))
        give_up(PPC_ONLY);
    if (!read_template(header))
        give_up(PPC_HEADER);
}

bool ppc_opening_wanted(const struct pps_addr *peer)
{
    for (size_t i = 0; i < only_count; i++)
        if ((only[i].any_port || only[i].addr.port == peer->port) &&
            (only[i].any_host || memcmp(only[i].addr.ip, peer->ip, sizeof peer->ip) == 0))
            return template.length > 0;
    return template.length > 0 && only_count == 0;
}

static size_t write_v2(struct ppc_opening *out, const struct pps_addr *peer)
{
    struct pps_builder b;
    struct pps_view rest = template.tlvs;
    struct pps_tlv tlv;
    bool crc = false;
    pps_build_v2_begin(&b, out->bytes, sizeof out->bytes, false, &template.src, peer);
    while (pps_tlv_next(&rest, &tlv)) {
        if (tlv.type == PPS_TLV_CRC32C)
            crc = true;
        else
            pps_build_v2_tlv(&b, tlv.type, tlv.value.at, tlv.value.length);
    }
    return pps_build_v2_end(&b, crc);
}

bool ppc_opening_write(struct ppc_opening *out, const struct pps_addr *peer)
{
    if (template.has_client && destination_is_peer) {
        out->length = template.version == 2 ? write_v2(out, peer)
                                            : pps_header_build_v1(out->bytes, sizeof out->bytes, &template.src, peer);
        return out->length > 0;
    }
    memcpy(out->bytes, template_bytes, template.length);
    out->length = template.length;
    return true;
}
