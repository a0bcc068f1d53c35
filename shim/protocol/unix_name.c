/* SPDX-License-Identifier: MIT
 *
 * unix_name.c: see unix_name.h.
 */
#include <ppshim/unix_name.h>
#include <string.h>
#include <sys/un.h>

struct pps_unix_name pps_unix_name_of(const char *text, size_t length)
{
    struct pps_unix_name name = {.length = (uint8_t)length};
    memcpy(name.text, text, length);
    return name;
}

bool pps_unix_name_from_sockaddr(struct pps_unix_name *out, const struct sockaddr *sa, socklen_t len)
{
    struct sockaddr_un un;
    size_t head = offsetof(struct sockaddr_un, sun_path), length;
    if (len <= head || len > sizeof un)
        return false;
    memset(&un, 0, sizeof un);
    memcpy(&un, sa, len);
    if (un.sun_family != AF_UNIX)
        return false;
    bool is_abstract = !un.sun_path[0];
    if (is_abstract)
        un.sun_path[0] = '@';
    for (length = len - head; is_abstract && length && !un.sun_path[length - 1];)
        length--;
    *out = pps_unix_name_of(un.sun_path, is_abstract ? length : strnlen(un.sun_path, length));
    return true;
}

bool pps_unix_name_same(const struct pps_unix_name *a, const struct pps_unix_name *b)
{
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

size_t pps_unix_name_entry(const struct pps_unix_name *name, char text[PPS_UNIX_NAME_TEXT])
{
    memcpy(text, "unix:", 5);
    memcpy(text + 5, name->text, name->length);
    text[5 + name->length] = 0;
    return 5u + name->length;
}
