/* SPDX-License-Identifier: MIT
 *
 * probe_source.c: see probe.h.
 */
#include "probe.h"
#include <ifaddrs.h>
#include <netinet/in.h>
#include <ppshim/header.h>
#include <ppshim/trust.h>
#include <sys/socket.h>
#include <unistd.h>

bool tool_probe_is_ours(const struct pps_addr *a)
{
    struct sockaddr_storage ss;
    sa_family_t family = pps_addr_is_v4(a) ? AF_INET : AF_INET6;
    struct pps_addr any_port = *a;
    any_port.port = 0;
    socklen_t length = pps_addr_to_sockaddr(&any_port, family, &ss);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && bind(fd, (struct sockaddr *)&ss, length) == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

static bool fits(const struct tool_target *t, const struct pps_addr *a, bool trusted)
{
    enum pps_trust trust = pps_trust_of(a);
    return pps_addr_is_v4(a) == pps_addr_is_v4(&t->listener) && (trust != PPS_UNTRUSTED) == trusted &&
           tool_probe_is_ours(a);
}

static bool fits_interface(const struct tool_target *t, bool trusted, struct pps_addr *out)
{
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) != 0)
        return false;
    for (struct ifaddrs *one = all; one && !found; one = one->ifa_next) {
        socklen_t length = !one->ifa_addr                         ? 0
                           : one->ifa_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                  : sizeof(struct sockaddr_in);
        found = length && pps_addr_from_sockaddr(out, one->ifa_addr, length) && (out->port = 0, fits(t, out, trusted));
    }
    freeifaddrs(all);
    return found;
}

bool tool_probe_source(const struct tool_target *t, bool trusted, struct pps_addr *out)
{
    if (fits_interface(t, trusted, out))
        return true;
    for (unsigned i = 1; i < 255; i++) {
        *out = pps_addr_v4((const uint8_t[]){127, 0, 0, (uint8_t)i}, 0);
        if (fits(t, out, trusted))
            return true;
    }
    return false;
}

bool tool_probe_client(struct pps_addr *out)
{
    static const uint8_t blocks[][4] = {{192, 0, 2, 1}, {198, 51, 100, 1}, {203, 0, 113, 1}};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        struct pps_header h = {.version = 2, .has_client = true, .src = pps_addr_v4(blocks[i], 4711)};
        struct pps_name_text refused;
        *out = h.src;
        if (pps_client_allowed(&h, &refused))
            return true;
    }
    return false;
}
