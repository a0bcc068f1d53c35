/* SPDX-License-Identifier: MIT
 *
 * fuzz_decode.c: `ppshim header --decode` of any bytes: its verdict is the parser's, and what it prints is lines of
 * text.
 */
#include "promise.h"
#include <ppshim/header.h>
#include <stdio.h>
#include <sys/mman.h>
#include <tool/decode.h>
#include <tool/tool.h>
#include <unistd.h>

static int shown = -1; /* what stdout writes to */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    shown = memfd_create("shown", MFD_CLOEXEC);
    PROMISE(shown >= 0 && dup2(shown, STDOUT_FILENO) >= 0);
    return 0;
}

static void is_text(void)
{
    char piece[4096];
    ssize_t n;
    off_t at = 0;
    while ((n = pread(shown, piece, sizeof piece, at)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            PROMISE(piece[i] == '\n' || (piece[i] >= ' ' && piece[i] < 0x7f));
        at += n;
    }
    PROMISE(at > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pps_header h;
    size_t need;
    enum pps_reason reason;
    uint8_t *bytes = exactly(data, size);
    FILE *in = fmemopen(bytes, size ? size : 1, "r");
    PROMISE(in && ftruncate(shown, 0) == 0 && lseek(STDOUT_FILENO, 0, SEEK_SET) == 0);
    if (size > 0) {
        enum pps_verdict verdict = pps_header_parse(bytes, size, &h, &need, &reason);
        PROMISE(tool_decode(in) == (verdict == PPS_HEADER_COMPLETE ? TOOL_OK : TOOL_NO));
        fflush(stdout);
        is_text();
    }
    fclose(in);
    free(bytes);
    return 0;
}
