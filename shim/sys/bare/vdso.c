/* SPDX-License-Identifier: MIT
 *
 * vdso.c: see vdso.h. It is an ELF object in memory, whole and relocated: how many symbols it has, one of two
 * tables tells: of which kernels have either, or both (DT_HASH, System V ABI; DT_GNU_HASH).
 */
#include "vdso.h"
#include "call.h"
#include <elf.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

typedef int clock_function(clockid_t, struct timespec *);

static int ask_the_kernel(clockid_t clock, struct timespec *out)
{
    return (int)pps_call(SYS_clock_gettime, clock, out);
}

static clock_function *_Atomic ask = ask_the_kernel;

int pps_vdso_clock(clockid_t clock, struct timespec *out)
{
    return atomic_load_explicit(&ask, memory_order_relaxed)(clock, out);
}

struct object {
    uintptr_t base; /* to be added to each address in it */
    const Elf64_Sym *symbols;
    const char *names;
    const uint32_t *hash, *gnu_hash;
};

static bool understand(struct object *o, uintptr_t at)
{
    const Elf64_Ehdr *head = (const void *)at;
    const Elf64_Phdr *part = (const void *)(at + head->e_phoff), *end = part + head->e_phnum;
    const Elf64_Dyn *dynamic = NULL;
    bool loaded = false;
    for (; part < end; part++) {
        if (part->p_type == PT_LOAD && !loaded) {
            o->base = at + part->p_offset - part->p_vaddr;
            loaded = true;
        }
        if (part->p_type == PT_DYNAMIC)
            dynamic = (const void *)(at + part->p_offset);
    }
    for (; loaded && dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        const void *what = (const void *)(o->base + dynamic->d_un.d_ptr);
        switch (dynamic->d_tag) {
        case DT_SYMTAB:
            o->symbols = what;
            break;
        case DT_STRTAB:
            o->names = what;
            break;
        case DT_HASH:
            o->hash = what;
            break;
        case DT_GNU_HASH:
            o->gnu_hash = what;
            break;
        }
    }
    return o->symbols && o->names && (o->hash || o->gnu_hash);
}

/* GNU's table has no count: the last symbol ends the chain that begins last. */
static uint32_t gnu_count(const uint32_t *table)
{
    uint32_t buckets = table[0], first = table[1], words = table[2], last = 0;
    const uint32_t *bucket = table + 4 + (size_t)words * 2, *chain = bucket + buckets;
    for (uint32_t i = 0; i < buckets; i++)
        last = bucket[i] > last ? bucket[i] : last;
    while (last && !(chain[last - first] & 1))
        last++;
    return last ? last + 1 : 0;
}

static void *find(const struct object *o, const char *name)
{
    uint32_t count = o->hash ? o->hash[1] : gnu_count(o->gnu_hash);
    for (const Elf64_Sym *s = o->symbols; s < o->symbols + count; s++)
        if (s->st_shndx != SHN_UNDEF && strcmp(o->names + s->st_name, name) == 0)
            return (void *)(o->base + s->st_value);
    return NULL;
}

void pps_vdso_find(void)
{
    uintptr_t at = getauxval(AT_SYSINFO_EHDR);
    struct object o = {0};
    void *found = at && understand(&o, at) ? find(&o, "__vdso_clock_gettime") : NULL;
    if (found)
        atomic_store_explicit(&ask, (clock_function *)found, memory_order_relaxed);
}
