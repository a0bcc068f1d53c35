/* SPDX-License-Identifier: MIT
 *
 * endpoint.c: see endpoint.h.
 */
#include "endpoint.h"
#include "../protocol/header_internal.h"
#include <stdlib.h>
#include <string.h>

bool tool_port_read(const char *text, uint16_t *port)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long n = strtoul(text, NULL, 10);
    *port = (uint16_t)n;
    return digits > 0 && digits <= 5 && !text[digits] && n <= 65535;
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
    return pps_scan_ip(family, ip, (size_t)(end - ip), out);
}
