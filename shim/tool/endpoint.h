/* SPDX-License-Identifier: MIT
 *
 * endpoint.h: endpoints as an operator writes them.
 */
#ifndef PPSHIM_TOOL_ENDPOINT_H
#define PPSHIM_TOOL_ENDPOINT_H

#include <ppshim/addr.h>
#include <stdbool.h>

/* "203.0.113.7", "203.0.113.7:4711", "2001:db8::7", "[2001:db8::7]" or "[2001:db8::7]:4711"; no name. */
bool tool_endpoint_read(const char *text, uint16_t default_port, struct pps_addr *out);

/* 0 to 65535, digits only. */
bool tool_port_read(const char *text, uint16_t *port);

#endif
