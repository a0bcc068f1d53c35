/* SPDX-License-Identifier: MIT
 *
 * site.c: see site.h.
 */
#include "site.h"
#include <string.h>

/* Each is longer than a word, and begins where Go puts functions. */
#define FUNCTION_ALIGN 16

/* internal/runtime/syscall.Syscall6: arguments to where the kernel wants them, the call, and its two kinds of answer as
   Go has them. The same from Go 1.18 on. */
static const uint8_t syscall6[] = {
    0x49, 0x89, 0xf2,                         /* mov %rsi,%r10 */
    0x48, 0x89, 0xfa,                         /* mov %rdi,%rdx */
    0x48, 0x89, 0xce,                         /* mov %rcx,%rsi */
    0x48, 0x89, 0xdf,                         /* mov %rbx,%rdi */
    0x0f, 0x05,                               /* syscall */
    0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff,       /* cmp $-4095,%rax */
    0x76, 0x15,                               /* jbe good */
    0x48, 0xf7, 0xd8,                         /* neg %rax */
    0x48, 0x89, 0xc1,                         /* mov %rax,%rcx */
    0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, /* mov $-1,%rax */
    0x48, 0xc7, 0xc3, 0x00, 0x00, 0x00, 0x00, /* mov $0,%rbx */
    0xc3,                                     /* ret */
    0x48, 0x89, 0xd3,                         /* good: mov %rdx,%rbx */
    0x48, 0xc7, 0xc1, 0x00, 0x00, 0x00, 0x00, /* mov $0,%rcx */
    0xc3,                                     /* ret */
};
#define SYSCALL6_AT 12

/* runtime.epollctl, up to Go 1.20. What is replaced ends one byte behind it, in the padding. */
static const uint8_t epoll_ctl[] = {
    0x8b, 0x7c, 0x24, 0x08,       /* mov 0x8(%rsp),%edi */
    0x8b, 0x74, 0x24, 0x0c,       /* mov 0xc(%rsp),%esi */
    0x8b, 0x54, 0x24, 0x10,       /* mov 0x10(%rsp),%edx */
    0x4c, 0x8b, 0x54, 0x24, 0x18, /* mov 0x18(%rsp),%r10 */
    0xb8, 0xe9, 0x00, 0x00, 0x00, /* mov $233,%eax */
    0x0f, 0x05,                   /* syscall */
    0x89, 0x44, 0x24, 0x20,       /* mov %eax,0x20(%rsp) */
    0xc3,                         /* ret */
    0xcc,                         /* padding */
};
#define EPOLL_CTL_AT 17
_Static_assert(sizeof epoll_ctl == EPOLL_CTL_AT + PPS_GO_JUMP_SIZE, "nothing behind the padding is written to");

static const char *const syscall6_names[] = {"runtime/internal/syscall.Syscall6", "internal/runtime/syscall.Syscall6",
                                             "internal/runtime/syscall/linux.Syscall6", NULL};
static const char *const epoll_ctl_names[] = {"runtime.epollctl", NULL};

/* What Go's linker puts before its version (debug/buildinfo), 16 bytes with what says how it is written. */
static const uint8_t build_info[] = "\xff Go buildinf:";
#define BUILD_INFO_AT 32    /* from Go 1.18 on the version is there: its length, and its bytes */
#define BUILD_INFO_INLINE 2 /* the bit of byte 15 that says so */

void pps_go_jump(uint8_t out[PPS_GO_JUMP_SIZE], uint64_t gate)
{
    static const uint8_t jump[PPS_GO_JUMP_SIZE] = {0x49, 0xbb, [10] = 0x41, 0xff, 0xe3};
    memcpy(out, jump, sizeof jump);
    memcpy(out + 2, &gate, sizeof gate);
}

/* --- bytes --- */

static uint64_t word_at(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static uint32_t half_at(const uint8_t *at)
{
    uint32_t half;
    memcpy(&half, at, sizeof half);
    return half;
}

/* The first at `from` or behind it, at a multiple of `step` in the program's own memory; NULL: none. */
static const uint8_t *next(const struct pps_go_segment *s, const uint8_t *from, const uint8_t *bytes, size_t size,
                           unsigned step)
{
    uint64_t first = word_at(bytes), address = s->address + (uint64_t)(from - s->at);
    for (const uint8_t *p = from + (-address & (step - 1)); s->at + s->size >= p + size; p += step)
        if (word_at(p) == first && memcmp(p, bytes, size) == 0)
            return p;
    return NULL;
}

struct found {
    unsigned count;
    uint64_t address;
};

static struct found find_body(const struct pps_go_program *program, const uint8_t *body, size_t size)
{
    struct found f = {0};
    for (const struct pps_go_segment *s = program->segments; s < program->segments + program->count; s++) {
        if (!s->executable || s->size < size)
            continue;
        for (const uint8_t *p = s->at; (p = next(s, p, body, size, FUNCTION_ALIGN)); p += FUNCTION_ALIGN) {
            f.count++;
            f.address = s->address + (uint64_t)(p - s->at);
        }
    }
    return f;
}

/* --- the build info --- */

static const uint8_t *find_build_info(const struct pps_go_program *program, size_t *left)
{
    for (const struct pps_go_segment *s = program->segments; s < program->segments + program->count; s++) {
        if (!s->writable || s->size < BUILD_INFO_AT)
            continue;
        const uint8_t *p = next(s, s->at, build_info, sizeof build_info - 1, 16);
        if (p) {
            *left = s->size - (size_t)(p - s->at);
            return p;
        }
    }
    return NULL;
}

const char *pps_go_version(const struct pps_go_program *program, size_t *length)
{
    size_t left;
    const uint8_t *p = find_build_info(program, &left);
    if (!p || left <= BUILD_INFO_AT || !(p[15] & BUILD_INFO_INLINE))
        return NULL;
    *length = p[BUILD_INFO_AT];
    bool good = *length < 0x80 && left > BUILD_INFO_AT + *length;
    return good ? (const char *)p + BUILD_INFO_AT + 1 : NULL;
}

/* --- the table of functions: runtime/symtab.go, pcHeader --- */

#define TABLE_HEADER 72
static const uint8_t table_magics[][8] = {{0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8},  /* Go 1.20 */
                                          {0xf0, 0xff, 0xff, 0xff, 0, 0, 1, 8}}; /* Go 1.18 */

struct table {
    const uint8_t *at, *end; /* of its segment */
    uint64_t count, text;    /* functions; where the code begins, 0 if it does not say */
    const uint8_t *names, *functions;
};

static bool read_table(struct table *t, const uint8_t *at, const uint8_t *end)
{
    size_t size = (size_t)(end - at);
    if (size < TABLE_HEADER)
        return false;
    uint64_t count = word_at(at + 8), names = word_at(at + 32), functions = word_at(at + 64);
    *t = (struct table){at, end, count, word_at(at + 24), at + names, at + functions};
    return count && names < size && functions < size && count <= (size - functions) / 8;
}

static bool find_table(const struct pps_go_program *program, struct table *out)
{
    for (unsigned i = 0; i < 2; i++)
        for (const struct pps_go_segment *s = program->segments; s < program->segments + program->count; s++)
            for (const uint8_t *p = s->at; s->size >= 8 && (p = next(s, p, table_magics[i], 8, 8)); p += 8)
                if (read_table(out, p, s->at + s->size))
                    return true;
    return false;
}

static bool is_named(const struct table *t, uint64_t function, const char *const names[])
{
    size_t at = half_at(t->functions + 8 * function + 4); /* of its record: where it begins, its name */
    if (at + 8 > (size_t)(t->end - t->functions))
        return false;
    size_t name = half_at(t->functions + at + 4), room = (size_t)(t->end - t->names);
    for (; *names; names++)
        if (name < room && room - name > strlen(*names) && memcmp(t->names + name, *names, strlen(*names) + 1) == 0)
            return true;
    return false;
}

static bool is_code(const struct pps_go_program *program, uint64_t address)
{
    for (const struct pps_go_segment *s = program->segments; s < program->segments + program->count; s++)
        if (s->executable && address - s->address < s->size)
            return true;
    return false;
}

/* Whether the function at this address has one of these names. Where the table does not say where the code begins, the
   name says how far behind that the function is. */
static bool confirm(const struct pps_go_program *program, const struct table *t, uint64_t address,
                    const char *const names[])
{
    for (uint64_t i = 0; i < t->count; i++) {
        uint64_t behind = half_at(t->functions + 8 * i);
        if (t->text ? t->text + behind == address : is_named(t, i, names))
            return is_named(t, i, names) && is_code(program, address - behind);
    }
    return false;
}

static bool has_function(const struct table *t, const char *const names[])
{
    for (uint64_t i = 0; i < t->count; i++)
        if (is_named(t, i, names))
            return true;
    return false;
}

/* --- what is Go at all --- */

/* What follows a table's magic, which obfuscators make up anew: two zeros, the smallest instruction's size, a
 * pointer's.
 */
static bool has_sizes(const uint8_t *at)
{
    return !at[4] && !at[5] && (at[6] == 1 || at[6] == 2 || at[6] == 4) && at[7] == 8;
}

/* Its parts lie one behind the other. `first`: where it says where they begin. */
static bool has_parts(const uint8_t *at, size_t left, unsigned first)
{
    uint64_t before = first + 5 * 8 - 1, part;
    for (unsigned i = first; i < first + 5 * 8; i += 8, before = part)
        if ((part = word_at(at + i)) <= before || part >= left)
            return false;
    return true;
}

/* Up to Go 1.15 functions follow at once: where each begins, and its record. */
static bool has_functions(const uint8_t *at, size_t left, uint64_t count)
{
    return half_at(at) == 0xfffffffb && count <= left / 16 && word_at(at + 16) < word_at(at + 32) &&
           word_at(at + 24) > count * 16 && word_at(at + 24) < left;
}

static bool is_any_table(const uint8_t *at, size_t left)
{
    uint64_t count = left < TABLE_HEADER ? 0 : word_at(at + 8);
    return count && count <= left / 8 && has_sizes(at) &&
           (has_parts(at, left, 32) || has_parts(at, left, 24) || has_functions(at, left, count));
}

static bool has_any_table(const struct pps_go_program *program)
{
    for (const struct pps_go_segment *s = program->segments; s < program->segments + program->count; s++)
        for (const uint8_t *p = s->at + (-s->address & 7); (size_t)(p - s->at) + TABLE_HEADER <= s->size; p += 8)
            if (is_any_table(p, s->size - (size_t)(p - s->at)))
                return true;
    return false;
}

/* What the program's code has at that address. NULL: nothing that it comes with. */
static const uint8_t *bytes_at(const struct pps_go_program *program, uint64_t address, size_t *left)
{
    for (const struct pps_go_segment *s = program->segments; s < program->segments + program->count; s++)
        if (address - s->address < s->size) {
            *left = s->size - (address - s->address);
            return s->at + (address - s->address);
        }
    return NULL;
}

/* Whether these four words can begin what the runtime knows of its program (runtime/symtab.go, moduledata): the table's
   address, and its names as a slice; up to Go 1.15 the table as a slice. */
static bool may_begin_module(const uint64_t w[4])
{
    return (w[2] == w[3] && w[2] && w[1] > w[0]) || (w[1] == w[2] && w[1]);
}

static bool begins_module(const struct pps_go_program *program, const uint8_t *at)
{
    uint64_t w[4];
    size_t left;
    memcpy(w, at, sizeof w);
    if (!may_begin_module(w) || w[0] % 8)
        return false;
    const uint8_t *table = bytes_at(program, w[0], &left);
    if (!table || (w[2] == w[3] ? w[1] - w[0] >= left : w[1] > left))
        return false;
    return is_any_table(table, left);
}

static bool has_module(const struct pps_go_program *program)
{
    for (const struct pps_go_segment *s = program->segments; s < program->segments + program->count; s++)
        for (const uint8_t *p = s->at + (-s->address & 7); s->writable && (size_t)(p - s->at) + 32 <= s->size; p += 8)
            if (begins_module(program, p))
                return true;
    return false;
}

bool pps_go_is(const struct pps_go_program *program)
{
    size_t left;
    return find_build_info(program, &left) || has_module(program);
}

bool pps_go_is_certainly(const struct pps_go_program *program)
{
    return pps_go_is(program) || has_any_table(program);
}

/* --- together --- */

static const char *find_epoll_ctl(const struct pps_go_program *program, const struct table *t, uint64_t *out)
{
    struct found f = find_body(program, epoll_ctl, sizeof epoll_ctl);
    bool found = f.count == 1 && confirm(program, t, f.address, epoll_ctl_names);
    *out = found ? f.address + EPOLL_CTL_AT : 0;
    return found || !has_function(t, epoll_ctl_names) ? NULL : "its epoll_ctl is none that this version knows";
}

const char *pps_go_find_sites(const struct pps_go_program *program, struct pps_go_sites *out)
{
    struct table t;
    struct found f = find_body(program, syscall6, sizeof syscall6);
    out->syscall6 = f.address + SYSCALL6_AT;
    if (!f.count)
        return "it makes its system calls in a way that this version does not know (Go 1.18 to 1.26 are served)";
    if (f.count > 1)
        return "what makes its system calls stands in it more than once";
    if (!find_table(program, &t) || !confirm(program, &t, f.address, syscall6_names))
        return "its table of functions does not confirm where it makes its system calls";
    return find_epoll_ctl(program, &t, &out->epoll_ctl);
}
