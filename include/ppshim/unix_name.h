/* SPDX-License-Identifier: MIT
 *
 * unix_name.h: the name of a listening AF_UNIX socket, in the form the operator writes behind `unix:`.
 *
 * Pure: no I/O, no allocation, no errno, no state.
 */
#ifndef PPSHIM_UNIX_NAME_H
#define PPSHIM_UNIX_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define PPS_UNIX_NAME_MAX 108 /* bytes of sun_path; those of an abstract name are one less, and the @ */
#define PPS_UNIX_NAME_TEXT (PPS_UNIX_NAME_MAX + 8)

struct pps_unix_name {
    uint8_t length;
    char text[PPS_UNIX_NAME_MAX + 1]; /* "/run/x.sock", or "@name" of an abstract one; a NUL behind it */
};

/* false: of another family, or unnamed. NULs that pad an abstract name do not count. */
bool pps_unix_name_from_sockaddr(struct pps_unix_name *out, const struct sockaddr *sa, socklen_t len);

/* `length` is PPS_UNIX_NAME_MAX at most. */
struct pps_unix_name pps_unix_name_of(const char *text, size_t length);

bool pps_unix_name_same(const struct pps_unix_name *a, const struct pps_unix_name *b);

/* "unix:/run/x.sock", as a list entry; not escaped. Returns its length. */
size_t pps_unix_name_entry(const struct pps_unix_name *name, char text[PPS_UNIX_NAME_TEXT]);

#endif
