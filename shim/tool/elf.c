/* SPDX-License-Identifier: MIT
 *
 * elf.c: see elf.h. Reads programs of this machine's byte order; others have machine 0.
 */
#include "elf.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct image {
    const uint8_t *at;
    size_t size;
};

static const void *piece(const struct image *m, uint64_t offset, uint64_t length)
{
    return offset <= m->size && length <= m->size - offset ? m->at + offset : NULL;
}

static void note_interp(const struct image *m, uint64_t offset, uint64_t length, struct tool_elf *out)
{
    const char *path = piece(m, offset, length);
    out->dynamic = true;
    if (path && length <= sizeof out->interp)
        memcpy(out->interp, path, length);
    out->interp[sizeof out->interp - 1] = '\0';
    out->musl = strstr(out->interp, "/ld-musl-") != NULL;
    out->glibc = !out->musl && strstr(out->interp, "/ld-linux") != NULL;
}

/* The two widths differ in their structs only. */
#define READ(bits_, Ehdr, Phdr, Shdr)                                                                                  \
    static void read_##bits_(const struct image *m, struct tool_elf *out)                                              \
    {                                                                                                                  \
        const Ehdr *e = piece(m, 0, sizeof *e);                                                                        \
        if (!e)                                                                                                        \
            return;                                                                                                    \
        out->bits = bits_;                                                                                             \
        out->machine = e->e_machine;                                                                                   \
        const Phdr *p = piece(m, e->e_phoff, (uint64_t)e->e_phnum * sizeof *p);                                        \
        for (int i = 0; p && i < e->e_phnum; i++)                                                                      \
            if (p[i].p_type == PT_INTERP)                                                                              \
                note_interp(m, p[i].p_offset, p[i].p_filesz, out);                                                     \
        const Shdr *s = piece(m, e->e_shoff, (uint64_t)e->e_shnum * sizeof *s);                                        \
        const Shdr *names = s && e->e_shstrndx < e->e_shnum ? &s[e->e_shstrndx] : NULL;                                \
        for (int i = 0; names && i < e->e_shnum; i++) {                                                                \
            const char *name = piece(m, names->sh_offset + s[i].sh_name, sizeof ".go.buildinfo");                      \
            out->is_go |= name && memcmp(name, ".go.buildinfo", sizeof ".go.buildinfo") == 0;                          \
        }                                                                                                              \
    }
READ(32, Elf32_Ehdr, Elf32_Phdr, Elf32_Shdr)
READ(64, Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr)

static void read_image(const struct image *m, struct tool_elf *out)
{
    const uint16_t one = 1;
    uint8_t our_order = *(const uint8_t *)&one ? ELFDATA2LSB : ELFDATA2MSB;
    out->elf = m->size >= EI_NIDENT && memcmp(m->at, ELFMAG, SELFMAG) == 0;
    if (out->elf && m->at[EI_DATA] == our_order)
        (m->at[EI_CLASS] == ELFCLASS64 ? read_64 : read_32)(m, out);
}

static bool read_open(int fd, const char *path, struct tool_elf *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    out->setuid_or_setgid = st.st_mode & (S_ISUID | S_ISGID);
    out->has_caps = getxattr(path, "security.capability", NULL, 0) > 0;
    struct image m = {MAP_FAILED, (size_t)st.st_size};
    if (S_ISREG(st.st_mode) && m.size > 0)
        m.at = mmap(NULL, m.size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (m.at == MAP_FAILED) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : errno;
        return S_ISREG(st.st_mode) && m.size == 0;
    }
    read_image(&m, out);
    munmap((void *)m.at, m.size);
    return true;
}

bool tool_elf_read(const char *path, struct tool_elf *out, char error[256])
{
    *out = (struct tool_elf){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool done = fd >= 0 && read_open(fd, path, out);
    if (!done)
        snprintf(error, 256, "%s: %m", path);
    if (fd >= 0)
        close(fd);
    return done;
}

char *tool_find_program(const char *name)
{
    const char *at = getenv("PATH");
    char *path = NULL;
    struct stat st;
    if (strchr(name, '/'))
        return access(name, F_OK) == 0 ? strdup(name) : NULL;
    for (at = at ? at : "/usr/local/bin:/usr/bin:/bin"; *name; at++) {
        size_t length = strcspn(at, ":");
        if (asprintf(&path, "%.*s/%s", length ? (int)length : 1, length ? at : ".", name) < 0)
            return NULL;
        if (access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode))
            return path;
        free(path);
        if (!*(at += length))
            break;
    }
    return NULL;
}
