/* SPDX-License-Identifier: MIT
 *
 * verdicts.c: the parser's verdict on each line of hexadecimal on stdin: "complete LENGTH CLIENT", where "-" is none,
 * "invalid REASON" or "need".
 */
#include <ppshim/header.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void judge(const uint8_t *bytes, size_t length)
{
    struct pps_header h;
    size_t need;
    enum pps_reason reason;
    char text[PPS_ADDR_TEXT];
    switch (pps_header_parse(bytes, length, &h, &need, &reason)) {
    case PPS_HEADER_COMPLETE:
        printf("complete %zu %s\n", h.length, h.has_client ? pps_addr_text(&h.src, text) : "-");
        break;
    case PPS_HEADER_INVALID:
        printf("invalid %s\n", pps_reason_word(reason));
        break;
    case PPS_HEADER_NEED:
        puts("need");
    }
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        size_t length = strcspn(line, "\n") / 2;
        uint8_t *bytes = malloc(length + 1);
        for (size_t i = 0; bytes && i < length; i++)
            sscanf(line + 2 * i, "%2hhx", &bytes[i]);
        judge(bytes, length);
        free(bytes);
    }
    free(line);
    return 0;
}
