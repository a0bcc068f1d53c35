/* SPDX-License-Identifier: MIT
 *
 * go_program.c: see go_program.h. Looks at a file with the eyes of the library (go/site.c).
 */
#include "go_program.h"
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENTS_READ 64

#ifdef __x86_64__
#define HAS_GATE true
#else
#define HAS_GATE false /* in the library and this tool, as they are built here */
#endif

static bool read_header(const uint8_t *file, size_t size, Elf64_Ehdr *h)
{
    if (size < sizeof *h)
        return false;
    memcpy(h, file, sizeof *h);
    return memcmp(h->e_ident, ELFMAG, SELFMAG) == 0 && h->e_ident[EI_CLASS] == ELFCLASS64 &&
           h->e_ident[EI_DATA] == ELFDATA2LSB && h->e_phentsize == sizeof(Elf64_Phdr) && h->e_phoff <= size &&
           h->e_phnum <= SEGMENTS_READ && h->e_phnum * sizeof(Elf64_Phdr) <= size - h->e_phoff;
}

/* Segments that do not lie in the file are left out. */
static void take_segments(const uint8_t *file, size_t size, const Elf64_Ehdr *h, struct pps_go_program *program,
                          bool *interpreted)
{
    for (unsigned i = 0; i < h->e_phnum; i++) {
        Elf64_Phdr p;
        memcpy(&p, file + h->e_phoff + i * sizeof p, sizeof p);
        bool inside = p.p_offset <= size && p.p_filesz <= size - p.p_offset;
        if (p.p_type == PT_INTERP)
            *interpreted = true;
        if (p.p_type == PT_LOAD && inside && program->count < PPS_GO_SEGMENTS_MAX)
            program->segments[program->count++] =
                (struct pps_go_segment){file + p.p_offset, p.p_filesz, p.p_vaddr, p.p_flags & PF_X, p.p_flags & PF_W};
    }
}

static void judge(const struct pps_go_program *program, uint16_t machine, struct tool_go *out)
{
    size_t length;
    const char *version = pps_go_version(program, &length);
    if (version)
        snprintf(out->version, sizeof out->version, "%.*s", (int)length, version);
    if (machine != EM_X86_64)
        out->why_not = "it is for another processor than amd64, the only one where Go programs are served";
    else if (!HAS_GATE)
        out->why_not = "this ppshim is for another processor than amd64, the only one where Go programs are served";
    else
        out->why_not = pps_go_find_sites(program, &out->sites);
}

static bool read_file(const uint8_t *file, size_t size, struct tool_go *out)
{
    Elf64_Ehdr h;
    bool interpreted = false;
    struct pps_go_program program = {.count = 0};
    if (!read_header(file, size, &h))
        return false;
    take_segments(file, size, &h, &program, &interpreted);
    out->is_static = !interpreted;
    out->entry = h.e_entry;
    out->is_go = pps_go_is_certainly(&program);
    if (out->is_go)
        judge(&program, h.e_machine, out);
    return true;
}

bool tool_go_read(const char *path, const struct tool_elf *elf, struct tool_go *out)
{
    struct stat st;
    bool read = false;
    *out = (struct tool_go){.is_go = false};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    void *file = MAP_FAILED;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (file != MAP_FAILED) {
        read = read_file(file, (size_t)st.st_size, out);
        munmap(file, (size_t)st.st_size);
    }
    if (elf && elf->is_go && !out->is_go) {
        out->is_go = true;
        out->is_static = !elf->dynamic;
        out->why_not = "neither its build info nor its table of functions is there";
    }
    return read;
}
