/* SPDX-License-Identifier: MIT
 *
 * json.c: see json.h.
 */
#include "json.h"

/* Bytes of the well-formed UTF-8 sequence that `text` begins with; 0: none. */
static int utf8_length(const unsigned char *text)
{
    int n = *text < 0x80 ? 1 : *text >= 0xc2 && *text < 0xe0 ? 2 : (*text & 0xf0) == 0xe0 ? 3 : *text < 0xf5 ? 4 : 0;
    if (*text >= 0x80 && *text < 0xc2)
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

void tool_json_put(FILE *to, const char *text)
{
    const unsigned char *at = (const unsigned char *)(text ? text : "");
    putc('"', to);
    while (*at) {
        int n = utf8_length(at);
        if (n == 0)
            fprintf(to, "\\ufffd");
        else if (*at < ' ' || *at == 0x7f)
            fprintf(to, "\\u%04x", *at);
        else
            fprintf(to, "%s%.*s", *at == '"' || *at == '\\' ? "\\" : "", n, (const char *)at);
        at += n ? n : 1;
    }
    putc('"', to);
}
