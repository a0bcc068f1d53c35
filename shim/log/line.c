/* SPDX-License-Identifier: MIT
 *
 * line.c: builds one line (line.h).
 */
#include <ppshim/line.h>
#include <string.h>
#include <unistd.h>

#define FOREIGN_MAX 128 /* bytes shown of one value of a peer's */

void pps_line_text(struct pps_line *l, const char *text)
{
    size_t room = sizeof l->text - 2 - l->length; /* a newline and a NUL always fit */
    size_t n = strnlen(text, room);
    memcpy(l->text + l->length, text, n);
    l->length += n;
    l->text[l->length] = 0;
}

void pps_line_number_bare(struct pps_line *l, uint64_t n)
{
    char digits[24];
    char *p = digits + sizeof digits;
    *--p = 0;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    pps_line_text(l, p);
}

static void put_key(struct pps_line *l, const char *key)
{
    pps_line_text(l, " ");
    pps_line_text(l, key);
    pps_line_text(l, "=");
}

void pps_line_begin(struct pps_line *l, const char *event)
{
    l->length = 0;
    pps_line_text(l, "ppshim[");
    pps_line_number_bare(l, (uint64_t)getpid());
    pps_line_text(l, "]: ");
    pps_line_text(l, event);
}

void pps_line_end(struct pps_line *l)
{
    l->text[l->length++] = '\n';
}

void pps_line_word(struct pps_line *l, const char *key, const char *word)
{
    put_key(l, key);
    pps_line_text(l, word);
}

void pps_line_number(struct pps_line *l, const char *key, uint64_t n)
{
    put_key(l, key);
    pps_line_number_bare(l, n);
}

void pps_line_addr(struct pps_line *l, const char *key, const struct pps_addr *a)
{
    char text[PPS_ADDR_TEXT];
    pps_line_word(l, key, pps_addr_text(a, text));
}

void pps_line_foreign(struct pps_line *l, const char *key, const void *at, size_t length)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *p = at;
    put_key(l, key);
    for (size_t i = 0; i < length && i < FOREIGN_MAX; i++) {
        char plain[2] = {(char)p[i], 0};
        char escaped[5] = {'\\', 'x', hex[p[i] >> 4], hex[p[i] & 15], 0};
        bool harmless = p[i] > ' ' && p[i] < 0x7f && p[i] != '\\' && p[i] != '"' && p[i] != '\'';
        pps_line_text(l, harmless ? plain : escaped);
    }
    if (length > FOREIGN_MAX)
        pps_line_text(l, "...");
}

void pps_line_exe(struct pps_line *l, const char *key)
{
    char exe[256];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe);
    if (n > 0)
        pps_line_foreign(l, key, exe, (size_t)n);
}

void pps_line_listener(struct pps_line *l, const char *key, const struct pps_unix_name *name)
{
    char text[PPS_UNIX_NAME_TEXT];
    size_t length = pps_unix_name_entry(name, text);
    pps_line_foreign(l, key, text, length);
}
