/* SPDX-License-Identifier: MIT
 *
 * endpoint.c: see endpoint.h.
 */
#include "endpoint.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

bool tool_port_read(const char *text, uint16_t *port)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long n = strtoul(text, NULL, 10);
    *port = (uint16_t)n;
    return digits > 0 && digits <= 5 && !text[digits] && n <= 65535;
}

static bool read_ip(const char *text, size_t length, int family, struct pps_addr *out)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    if (length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (inet_pton(family, copy, ip) != 1)
        return false;
    *out = family == AF_INET ? pps_addr_v4(ip, out->port) : pps_addr_v6(ip, out->port);
    return true;
}

bool tool_endpoint_read(const char *text, uint16_t default_port, struct pps_addr *out)
{
    bool bracketed = *text == '[';
    const char *ip = text + bracketed, *colon = strchr(ip, ':'), *end = ip + strlen(ip), *port = NULL;
    int family = bracketed || (colon && strchr(colon + 1, ':')) ? AF_INET6 : AF_INET;
    if (bracketed)
        end = ip + strcspn(ip, "]");
    else if (family == AF_INET && colon)
        end = colon;
    if (bracketed && !*end)
        return false;
    if (*end) /* "]" or ":" */
        port = end + bracketed;
    if (port && *port && *port++ != ':')
        return false;
    out->port = default_port;
    if (port && port > end + bracketed && !tool_port_read(port, &out->port))
        return false;
    return read_ip(ip, (size_t)(end - ip), family, out);
}
