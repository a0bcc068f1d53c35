/* SPDX-License-Identifier: MIT
 *
 * json.c: see json.h.
 */
#include "json.h"
#include <string.h>
#include <time.h>

/* Bytes of the well-formed UTF-8 sequence that the `left` bytes begin with; 0: none. */
static int utf8_length(const unsigned char *text, size_t left)
{
    int n = *text < 0x80 ? 1 : *text >= 0xc2 && *text < 0xe0 ? 2 : (*text & 0xf0) == 0xe0 ? 3 : *text < 0xf5 ? 4 : 0;
    if ((*text >= 0x80 && *text < 0xc2) || (size_t)n > left)
        return 0;
    for (int i = 1; i < n; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((*text == 0xe0 && text[1] < 0xa0) || (*text == 0xed && text[1] >= 0xa0)) /* too long a form; a surrogate */
        return 0;
    if ((*text == 0xf0 && text[1] < 0x90) || (*text == 0xf4 && text[1] >= 0x90))
        return 0;
    return n;
}

void tool_json_bytes(FILE *to, const void *bytes, size_t length)
{
    const unsigned char *at = bytes, *end = at + length;
    putc('"', to);
    while (at < end) {
        int n = utf8_length(at, (size_t)(end - at));
        if (n == 0)
            fputs("\\ufffd", to);
        else if (*at < ' ' || *at == 0x7f)
            fprintf(to, "\\u%04x", *at);
        else
            fprintf(to, "%s%.*s", *at == '"' || *at == '\\' ? "\\" : "", n, (const char *)at);
        at += n ? n : 1;
    }
    putc('"', to);
}

void tool_json_put(FILE *to, const char *text)
{
    tool_json_bytes(to, text ? text : "", text ? strlen(text) : 0);
}

void tool_json_address(FILE *to, const char *key, const struct pps_addr *a)
{
    char text[PPS_ADDR_TEXT];
    fprintf(to, "\"%s\": \"%s\"", key, pps_addr_text(a, text));
}

void tool_json_time(FILE *to, const char *key, uint64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm t;
    char text[32] = "";
    if (gmtime_r(&seconds, &t))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &t);
    fprintf(to, "\"%s\": \"%s.%03uZ\"", key, text, (unsigned)(ns / 1000000 % 1000));
}
