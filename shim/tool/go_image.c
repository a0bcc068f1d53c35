/* SPDX-License-Identifier: MIT
 *
 * go_image.c: see go_image.h. The image is linked so that it has no relocations but those of addresses in itself, in
 * what is writable (Makefile).
 */
#include "go_image.h"
#include "../go/image/given.h"
#include "proc.h"
#include "tool.h"
#include <stdlib.h>
#include <string.h>

extern const uint8_t tool_go_image[]; /* go_image.S */

static void read_segment(struct tool_go_image *m, const Elf64_Phdr *p)
{
    m->bytes = tool_or_abort(realloc(m->bytes, tool_pages_of(p->p_vaddr + p->p_memsz)));
    memset(m->bytes + m->size, 0, tool_pages_of(p->p_vaddr + p->p_memsz) - m->size);
    memcpy(m->bytes + p->p_vaddr, tool_go_image + p->p_offset, p->p_filesz);
    m->size = tool_pages_of(p->p_vaddr + p->p_memsz);
    m->segments[m->count++] = *p;
}

static void find_relocations(struct tool_go_image *m, const Elf64_Phdr *p)
{
    for (const Elf64_Dyn *d = (void *)(m->bytes + p->p_vaddr); d->d_tag != DT_NULL; d++) {
        m->relocations = d->d_tag == DT_RELA ? d->d_un.d_ptr : m->relocations;
        m->relocations_size = d->d_tag == DT_RELASZ ? d->d_un.d_val : m->relocations_size;
    }
}

void tool_go_image_read(struct tool_go_image *m)
{
    Elf64_Ehdr header;
    struct pps_go_image_head head;
    *m = (struct tool_go_image){.count = 0};
    memcpy(&header, tool_go_image, sizeof header);
    const Elf64_Phdr *segments = (const void *)(tool_go_image + header.e_phoff);
    for (const Elf64_Phdr *p = segments; p < segments + header.e_phnum; p++)
        if (p->p_type == PT_LOAD)
            read_segment(m, p);
    for (const Elf64_Phdr *p = segments; p < segments + header.e_phnum; p++)
        if (p->p_type == PT_DYNAMIC)
            find_relocations(m, p);
    memcpy(&head, m->bytes + header.e_entry, sizeof head);
    m->start = header.e_entry + (uint64_t)head.start;
    m->gate = header.e_entry + (uint64_t)head.gate;
    m->gate_epoll_ctl = header.e_entry + (uint64_t)head.gate_epoll_ctl;
}

void tool_go_image_free(struct tool_go_image *m)
{
    free(m->bytes);
}

void tool_go_image_relocate(struct tool_go_image *m, uint64_t base)
{
    const Elf64_Rela *r = (const void *)(m->bytes + m->relocations), *end = r + m->relocations_size / sizeof *r;
    for (; r < end; r++) {
        uint64_t value = base + (uint64_t)r->r_addend;
        memcpy(m->bytes + r->r_offset, &value, sizeof value);
    }
}

bool tool_go_image_is_in(pid_t pid, uint64_t gate)
{
    struct tool_go_image m;
    bool is = true;
    tool_go_image_read(&m);
    uint8_t *there = tool_or_abort(malloc(m.size));
    for (unsigned i = 0; i < m.count && is; i++) {
        const Elf64_Phdr *p = &m.segments[i];
        is = p->p_flags & PF_W || (tool_proc_memory(pid, gate - m.gate + p->p_vaddr, there, p->p_filesz) &&
                                   memcmp(there, m.bytes + p->p_vaddr, p->p_filesz) == 0);
    }
    free(there);
    tool_go_image_free(&m);
    return is;
}
