/* SPDX-License-Identifier: MIT
 *
 * go_image.h: the image that is put into static Go programs (shim/go/image), as this tool holds it. One thread.
 */
#ifndef PPSHIM_TOOL_GO_IMAGE_H
#define PPSHIM_TOOL_GO_IMAGE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TOOL_PAGE 4096UL

struct tool_go_image {
    uint8_t *bytes; /* as it lies in memory, from its lowest address, 0, on */
    size_t size;
    Elf64_Phdr segments[8]; /* those that are loaded */
    unsigned count;
    uint64_t start, gate, gate_epoll_ctl; /* addresses in it */
    uint64_t relocations, relocations_size;
};

void tool_go_image_read(struct tool_go_image *out);
void tool_go_image_free(struct tool_go_image *m);
/* For where it will lie. Once. */
void tool_go_image_relocate(struct tool_go_image *m, uint64_t base);

/* Whether the image in this process, whose gate is there, is this very one: byte for byte, but for what it writes to.
 */
bool tool_go_image_is_in(pid_t pid, uint64_t gate);

static inline uint64_t tool_page_of(uint64_t address)
{
    return address & ~(TOOL_PAGE - 1);
}

static inline uint64_t tool_pages_of(uint64_t size)
{
    return (size + TOOL_PAGE - 1) & ~(TOOL_PAGE - 1);
}

#endif
