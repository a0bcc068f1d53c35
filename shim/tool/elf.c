/* SPDX-License-Identifier: MIT
 *
 * elf.c: an ELF file's bytes to struct tool_elf (elf.h).
 *
 * Both sizes of ELF are read into the 64-bit structs, so that one code judges both. `image` is the only way to the
 * bytes: at() answers NULL for what does not lie inside the file.
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

#define RECORDS_MAX 4096 /* of one table; symbols may be more */
#define SYMBOLS_MAX (1u << 20)

struct image {
    const uint8_t *base;
    size_t size;
    bool is64;
    Elf64_Ehdr header;
    uint64_t strings, strings_size, symbols, symbol_count; /* of the dynamic section, as file offsets */
};

static const void *at(const struct image *m, uint64_t offset, uint64_t length)
{
    return offset <= m->size && length <= m->size - offset ? m->base + offset : NULL;
}

/* A NUL-terminated text that ends before `end`; NULL if it does not. */
static const char *text_at(const struct image *m, uint64_t offset, uint64_t end)
{
    if (end > m->size || offset >= end)
        return NULL;
    return memchr(m->base + offset, 0, end - offset) ? (const char *)m->base + offset : NULL;
}

static uint32_t word_at(const struct image *m, uint64_t offset, bool *good)
{
    uint32_t word = 0;
    const void *bytes = at(m, offset, sizeof word);
    if (bytes)
        memcpy(&word, bytes, sizeof word);
    *good = *good && bytes;
    return word;
}

/* --- both sizes as one --- */

struct table {
    uint64_t offset, count, stride;
};

/* Record `i`, into the one of the two that has the file's own size. */
static bool take(const struct image *m, struct table t, uint64_t i, void *big, size_t big_size, void *small,
                 size_t small_size)
{
    size_t size = m->is64 ? big_size : small_size;
    const void *bytes = i < t.count && t.stride >= size ? at(m, t.offset + i * t.stride, size) : NULL;
    if (bytes)
        memcpy(m->is64 ? big : small, bytes, size);
    return bytes;
}

static bool read_header(struct image *m)
{
    const struct table one_record = {0, 1, sizeof m->header};
    Elf32_Ehdr small;
    const uint8_t *ident = at(m, 0, EI_NIDENT);
    const uint16_t one = 1;
    if (!ident || memcmp(ident, ELFMAG, SELFMAG) != 0)
        return false;
    if (ident[EI_DATA] != (*(const uint8_t *)&one ? ELFDATA2LSB : ELFDATA2MSB))
        return false;
    m->is64 = ident[EI_CLASS] == ELFCLASS64;
    if (!m->is64 && ident[EI_CLASS] != ELFCLASS32)
        return false;
    if (!take(m, one_record, 0, &m->header, sizeof m->header, &small, sizeof small))
        return false;
    if (!m->is64)
        m->header = (Elf64_Ehdr){.e_type = small.e_type,
                                 .e_machine = small.e_machine,
                                 .e_phoff = small.e_phoff,
                                 .e_shoff = small.e_shoff,
                                 .e_phentsize = small.e_phentsize,
                                 .e_phnum = small.e_phnum,
                                 .e_shentsize = small.e_shentsize,
                                 .e_shnum = small.e_shnum,
                                 .e_shstrndx = small.e_shstrndx};
    return true;
}

static bool read_segment(const struct image *m, unsigned i, Elf64_Phdr *out)
{
    const struct table segments = {m->header.e_phoff, m->header.e_phnum, m->header.e_phentsize};
    Elf32_Phdr small;
    if (i >= RECORDS_MAX || !take(m, segments, i, out, sizeof *out, &small, sizeof small))
        return false;
    if (!m->is64)
        *out = (Elf64_Phdr){.p_type = small.p_type,
                            .p_offset = small.p_offset,
                            .p_vaddr = small.p_vaddr,
                            .p_filesz = small.p_filesz,
                            .p_align = small.p_align};
    return true;
}

static bool read_section(const struct image *m, unsigned i, Elf64_Shdr *out)
{
    const struct table sections = {m->header.e_shoff, m->header.e_shnum, m->header.e_shentsize};
    Elf32_Shdr small;
    if (i >= RECORDS_MAX || !take(m, sections, i, out, sizeof *out, &small, sizeof small))
        return false;
    if (!m->is64)
        *out = (Elf64_Shdr){
            .sh_name = small.sh_name, .sh_type = small.sh_type, .sh_offset = small.sh_offset, .sh_size = small.sh_size};
    return true;
}

static bool read_dynamic(const struct image *m, const Elf64_Phdr *segment, unsigned i, Elf64_Dyn *out)
{
    Elf32_Dyn small;
    const size_t size = m->is64 ? sizeof *out : sizeof small;
    const struct table entries = {segment->p_offset, segment->p_filesz / size, size};
    if (i >= RECORDS_MAX || !take(m, entries, i, out, sizeof *out, &small, sizeof small))
        return false;
    if (!m->is64)
        *out = (Elf64_Dyn){.d_tag = small.d_tag, .d_un.d_val = small.d_un.d_val};
    return true;
}

static bool read_symbol(const struct image *m, uint64_t i, Elf64_Sym *out)
{
    Elf32_Sym small;
    const struct table symbols = {m->symbols, m->symbol_count, m->is64 ? sizeof *out : sizeof small};
    if (!take(m, symbols, i, out, sizeof *out, &small, sizeof small))
        return false;
    if (!m->is64)
        *out = (Elf64_Sym){.st_name = small.st_name, .st_shndx = small.st_shndx, .st_value = small.st_value};
    return true;
}

/* Where in the file the address lies; past its end if nowhere. */
static uint64_t offset_of(const struct image *m, uint64_t address)
{
    Elf64_Phdr p;
    for (unsigned i = 0; read_segment(m, i, &p); i++)
        if (p.p_type == PT_LOAD && address >= p.p_vaddr && address - p.p_vaddr < p.p_filesz)
            return p.p_offset + (address - p.p_vaddr);
    return UINT64_MAX;
}

/* --- notes and sections --- */

static void hex(char *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static void take_note(struct tool_elf *e, uint32_t type, const uint8_t *name, uint32_t name_size, const uint8_t *text,
                      uint32_t size)
{
    bool by_gnu = name_size == 4 && memcmp(name, "GNU", 4) == 0, by_go = name_size == 4 && memcmp(name, "Go\0", 4) == 0;
    if (by_gnu && type == NT_GNU_BUILD_ID && size <= sizeof e->build_id / 2)
        hex(e->build_id, text, size);
    if (by_go && type == 4)
        e->is_go = true;
}

static void read_notes(const struct image *m, const Elf64_Phdr *p, struct tool_elf *e)
{
    uint64_t end = p->p_offset + p->p_filesz, align = p->p_align == 8 ? 8 : 4;
    if (!at(m, p->p_offset, p->p_filesz))
        return;
    for (uint64_t here = p->p_offset; end - here >= 12;) {
        bool good = true;
        uint32_t name_size = word_at(m, here, &good), size = word_at(m, here + 4, &good);
        uint64_t text = here + 12 + ((name_size + UINT64_C(3)) & ~UINT64_C(3));
        if (!good || text > end || size > end - text)
            return;
        take_note(e, word_at(m, here + 8, &good), m->base + here + 12, name_size, m->base + text, size);
        here = text + ((size + align - 1) & ~(align - 1));
        if (here > end)
            return;
    }
}

static void read_sections(const struct image *m, struct tool_elf *e)
{
    Elf64_Shdr names, s;
    if (!read_section(m, m->header.e_shstrndx, &names) || !at(m, names.sh_offset, names.sh_size))
        return;
    for (unsigned i = 0; read_section(m, i, &s); i++) {
        const char *name = text_at(m, names.sh_offset + s.sh_name, names.sh_offset + names.sh_size);
        if (name && (strcmp(name, ".go.buildinfo") == 0 || strcmp(name, ".note.go.buildid") == 0))
            e->is_go = true;
    }
}

/* --- the dynamic section --- */

/* The GNU hash table holds the defined symbols alone, behind all others: the highest of its chains is the last. */
static uint64_t symbols_of_gnu_hash(const struct image *m, uint64_t table)
{
    bool good = true;
    uint32_t buckets = word_at(m, table, &good), first = word_at(m, table + 4, &good), last = 0;
    uint64_t bucket = table + 16 + (uint64_t)word_at(m, table + 8, &good) * (m->is64 ? 8 : 4);
    uint64_t chain = bucket + (uint64_t)buckets * 4;
    for (uint32_t i = 0; good && i < buckets && i < SYMBOLS_MAX; i++) {
        uint32_t symbol = word_at(m, bucket + (uint64_t)i * 4, &good);
        last = symbol > last ? symbol : last;
    }
    if (!good || last < first)
        return good ? first : 0;
    while (good && last < SYMBOLS_MAX && !(word_at(m, chain + (uint64_t)(last - first) * 4, &good) & 1))
        last++;
    return (uint64_t)last + 1;
}

static const struct {
    const char *name;
    enum tool_import bit;
} known_imports[] = {
    {"accept", TOOL_IMPORTS_ACCEPT},   {"accept4", TOOL_IMPORTS_ACCEPT4},  {"getpeername", TOOL_IMPORTS_GETPEERNAME},
    {"listen", TOOL_IMPORTS_LISTEN},   {"poll", TOOL_IMPORTS_POLL},        {"ppoll", TOOL_IMPORTS_POLL},
    {"__poll_chk", TOOL_IMPORTS_POLL}, {"__ppoll_chk", TOOL_IMPORTS_POLL}, {"select", TOOL_IMPORTS_SELECT},
    {"pselect", TOOL_IMPORTS_SELECT},  {"epoll_wait", TOOL_IMPORTS_EPOLL}, {"epoll_pwait", TOOL_IMPORTS_EPOLL},
    {"__poll", TOOL_IMPORTS_POLL},     {"__select", TOOL_IMPORTS_SELECT},  {"epoll_pwait2", TOOL_IMPORTS_EPOLL},
    {"dlopen", TOOL_IMPORTS_DLOPEN},
};

static void take_symbol(const struct image *m, const Elf64_Sym *s, struct tool_elf *e)
{
    const char *name = text_at(m, m->strings + s->st_name, m->strings + m->strings_size);
    if (!name)
        return;
    for (size_t i = 0; s->st_shndx == SHN_UNDEF && i < sizeof known_imports / sizeof *known_imports; i++)
        if (strcmp(name, known_imports[i].name) == 0)
            e->imports |= known_imports[i].bit;
    if (s->st_shndx != SHN_UNDEF && strcmp(name, "ppshim_status") == 0)
        e->status_at = s->st_value;
    const char *version = NULL;
    if (s->st_shndx != SHN_UNDEF && strcmp(name, "ppshim_version") == 0)
        version = text_at(m, offset_of(m, s->st_value), m->size);
    if (version)
        snprintf(e->version, sizeof e->version, "%s", version);
}

static void take_entry(const struct image *m, const Elf64_Dyn *d, struct tool_elf *e)
{
    const char *name = text_at(m, m->strings + d->d_un.d_val, m->strings + m->strings_size);
    if (name && d->d_tag == DT_NEEDED && e->needed_count < TOOL_ELF_NEEDED_MAX)
        e->needed[e->needed_count++] = strdup(name);
    else if (name && (d->d_tag == DT_RUNPATH || d->d_tag == DT_RPATH) && !e->runpath)
        e->runpath = strdup(name);
}

static void find_tables(struct image *m, const Elf64_Phdr *segment)
{
    Elf64_Dyn d;
    bool good = true;
    for (unsigned i = 0; read_dynamic(m, segment, i, &d) && d.d_tag != DT_NULL; i++)
        switch (d.d_tag) {
        case DT_STRTAB:
            m->strings = offset_of(m, d.d_un.d_ptr);
            break;
        case DT_STRSZ:
            m->strings_size = d.d_un.d_val;
            break;
        case DT_SYMTAB:
            m->symbols = offset_of(m, d.d_un.d_ptr);
            break;
        case DT_HASH: /* on 64-bit s390 its words are wider; there is a GNU table there as well */
            if (!m->symbol_count)
                m->symbol_count = word_at(m, offset_of(m, d.d_un.d_ptr) + 4, &good);
            break;
        case DT_GNU_HASH:
            m->symbol_count = symbols_of_gnu_hash(m, offset_of(m, d.d_un.d_ptr));
            break;
        }
}

static void read_dynamic_section(struct image *m, const Elf64_Phdr *segment, struct tool_elf *e)
{
    Elf64_Dyn d;
    Elf64_Sym s;
    find_tables(m, segment);
    if (!at(m, m->strings, m->strings_size))
        return;
    for (unsigned i = 0; read_dynamic(m, segment, i, &d) && d.d_tag != DT_NULL; i++)
        take_entry(m, &d, e);
    for (uint64_t i = 1; i < SYMBOLS_MAX && read_symbol(m, i, &s); i++)
        take_symbol(m, &s, e);
}

/* --- the whole --- */

static bool has_needed(const struct tool_elf *e, const char *begin)
{
    for (unsigned i = 0; i < e->needed_count; i++)
        if (strncmp(e->needed[i], begin, strlen(begin)) == 0)
            return true;
    return false;
}

static void judge_libc(struct tool_elf *e)
{
    const char *name = strrchr(e->interp, '/') ? strrchr(e->interp, '/') + 1 : e->interp;
    e->musl = strncmp(name, "ld-musl", 7) == 0 || (!*name && has_needed(e, "libc.musl"));
    e->glibc = !e->musl && (strncmp(name, "ld-linux", 8) == 0 || strncmp(name, "ld64.so", 7) == 0 ||
                            strncmp(name, "ld.so", 5) == 0 || (!*name && has_needed(e, "libc.so.6")));
}

static void judge(struct image *m, struct tool_elf *e)
{
    Elf64_Phdr p;
    bool library = m->header.e_type == ET_DYN;
    e->bits = m->is64 ? 64 : 32;
    e->machine = m->header.e_machine;
    for (unsigned i = 0; read_segment(m, i, &p); i++) {
        const char *text = p.p_type == PT_INTERP ? text_at(m, p.p_offset, p.p_offset + p.p_filesz) : NULL;
        if (text)
            snprintf(e->interp, sizeof e->interp, "%s", text);
        if (p.p_type == PT_NOTE)
            read_notes(m, &p, e);
        if (p.p_type == PT_DYNAMIC)
            read_dynamic_section(m, &p, e);
    }
    read_sections(m, e);
    e->dynamic = *e->interp || (library && e->needed_count);
    e->has_io_uring = has_needed(e, "liburing.so");
    e->mentions_io_uring = memmem(m->base, m->size, "io_uring", 8) || memmem(m->base, m->size, "IO_URING", 8);
    judge_libc(e);
}

static bool fail(char *error, const char *path, const char *what)
{
    snprintf(error, 256, "%.180s: %s", path, what);
    return false;
}

static bool read_image(int fd, const struct stat *st, struct tool_elf *out)
{
    out->setuid_or_setgid = st->st_mode & (S_ISUID | S_ISGID);
    out->has_caps = fgetxattr(fd, "security.capability", NULL, 0) > 0;
    struct image m = {.size = (size_t)st->st_size};
    void *mapped = m.size ? mmap(NULL, m.size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (mapped == MAP_FAILED)
        return m.size == 0;
    m.base = mapped;
    out->elf = read_header(&m);
    if (out->elf)
        judge(&m, out);
    munmap(mapped, m.size);
    return true;
}

bool tool_elf_read(const char *path, struct tool_elf *out, char error[256])
{
    struct stat st;
    memset(out, 0, sizeof *out);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail(error, path, strerror(errno));
    const char *wrong = NULL;
    if (fstat(fd, &st) != 0 || (S_ISREG(st.st_mode) && !read_image(fd, &st, out)))
        wrong = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        wrong = S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file";
    close(fd);
    return !wrong || fail(error, path, wrong);
}

void tool_elf_free(struct tool_elf *e)
{
    for (unsigned i = 0; i < e->needed_count; i++)
        free(e->needed[i]);
    free(e->runpath);
    e->needed_count = 0;
    e->runpath = NULL;
}

const char *tool_elf_machine(const struct tool_elf *e)
{
    static const char *const names[] = {
        [EM_X86_64] = "x86-64", [EM_386] = "i386",    [EM_AARCH64] = "aarch64", [EM_ARM] = "arm",
        [EM_RISCV] = "riscv",   [EM_PPC64] = "ppc64", [EM_S390] = "s390",
    };
    static char unnamed[24];
    if (e->machine < sizeof names / sizeof *names && names[e->machine])
        return names[e->machine];
    snprintf(unnamed, sizeof unnamed, "machine %u", e->machine);
    return unnamed;
}

void tool_elf_imports(const struct tool_elf *e, char *out, size_t size)
{
    unsigned left = e->imports & ~(unsigned)TOOL_IMPORTS_DLOPEN;
    size_t n = 0;
    *out = 0;
    for (size_t i = 0; i < sizeof known_imports / sizeof *known_imports; i++)
        if (left & known_imports[i].bit) {
            left &= ~(unsigned)known_imports[i].bit;
            n += (size_t)snprintf(out + n, size - n, "%s%s", n ? " " : "", known_imports[i].name);
        }
}

bool tool_elf_is_libc(const char *name)
{
    static const char *const own[] = {"libc.so",  "libc.musl", "ld-linux", "ld-musl",     "libpthread.so",
                                      "libdl.so", "librt.so",  "libm.so",  "libgcc_s.so", "libresolv.so"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strncmp(name, own[i], strlen(own[i])) == 0)
            return true;
    return false;
}

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *tool_find_program(const char *name)
{
    const char *path = getenv("PATH"), *end;
    if (strchr(name, '/'))
        return access(name, F_OK) == 0 ? strdup(name) : NULL;
    for (path = path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"; *name; path = end + 1) {
        char *full;
        end = strchrnul(path, ':');
        int length = (int)(end - path);
        if (asprintf(&full, "%.*s/%s", length ? length : 1, length ? path : ".", name) < 0)
            return NULL;
        if (is_program(full))
            return full;
        free(full);
        if (!*end)
            return NULL;
    }
    return NULL;
}
