/* SPDX-License-Identifier: MIT
 *
 * fuzz_elf.c: any file, looked at as a program.
 */
#include "promise.h"
#include <stdio.h>
#include <sys/mman.h>
#include <tool/elf.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    struct tool_elf e;
    char path[64], error[256], imports[256];
    if (file < 0)
        file = memfd_create("program", MFD_CLOEXEC);
    PROMISE(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (!tool_elf_read(path, &e, error)) {
        PROMISE(is_one_line(error));
        return 0;
    }
    PROMISE(e.needed_count <= TOOL_ELF_NEEDED_MAX && strlen(e.interp) < sizeof e.interp);
    for (unsigned i = 0; i < e.needed_count; i++)
        PROMISE(strlen(e.needed[i]) < size);
    PROMISE(*tool_elf_machine(&e));
    tool_elf_imports(&e, imports, sizeof imports);
    tool_elf_free(&e);
    return 0;
}
