/* SPDX-License-Identifier: MIT
 *
 * elf_mutations.c PROGRAM: reads the program with one byte of its headers and of its dynamic section changed after
 * another, and cut at one place after another. Meant for sanitizers; prints how many files it read.
 */
#include "../../shim/tool/elf.c"
#include <err.h>

static char image[1 << 20], changed[sizeof image];
static size_t size;
static unsigned long readings;

static void read_once(size_t length)
{
    struct tool_elf e;
    char path[64], error[256];
    int fd = memfd_create("elf", MFD_CLOEXEC);
    if (fd < 0 || write(fd, changed, length) != (ssize_t)length)
        err(1, "memfd");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (tool_elf_read(path, &e, error))
        tool_elf_free(&e);
    close(fd);
    readings++;
}

static void change(size_t from, size_t to)
{
    static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    for (size_t at = from; at < to && at < size; at++)
        for (size_t i = 0; i < sizeof values; i++) {
            changed[at] = (char)values[i];
            read_once(size);
            changed[at] = image[at];
        }
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "re") : NULL;
    if (!file || !(size = fread(image, 1, sizeof image, file)))
        errx(1, "usage: elf_mutations PROGRAM");
    memcpy(changed, image, size);
    struct image m = {.base = (const uint8_t *)image, .size = size};
    Elf64_Phdr p;
    if (!read_header(&m))
        errx(1, "%s is no program of this machine", argv[1]);
    change(0, 64 + m.header.e_phnum * m.header.e_phentsize);
    for (unsigned i = 0; read_segment(&m, i, &p); i++)
        if (p.p_type == PT_DYNAMIC || p.p_type == PT_NOTE)
            change(p.p_offset, p.p_offset + p.p_filesz);
    change(m.header.e_shoff, m.header.e_shoff + m.header.e_shnum * m.header.e_shentsize);
    for (size_t length = 0; length < size; length += length < 4096 ? 1 : 61)
        read_once(length);
    printf("%lu\n", readings);
    return 0;
}
