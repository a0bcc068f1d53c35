/* SPDX-License-Identifier: MIT
 *
 * run_inject.c: puts the image (shim/go/image) into a static Go program (inject.h).
 *
 * This process executes the program and stays what it is to whoever started it. A child of it, the helper, watches it
 * by ptrace(2) until the program is there and has run no instruction, writes the image and the jumps into its memory,
 * and lets go. Nothing is ever writable and executable at once: a tracer writes what the program may not. The program's
 * first deed, in the image, is to take leave of the helper, of which it would otherwise know nothing. No byte of a file
 * is changed, and if the helper fails the program ends with it.
 */
#include "../go/image/given.h"
#include "go_image.h"
#include "inject.h"
#include "preload.h"
#include "tool.h"
#include <errno.h>
#include <fcntl.h>
#include <ppshim/config.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIGNALS 65

/* The program while the helper holds it. */
struct held {
    pid_t pid;
    const struct tool_go *go;
    struct user_regs_struct regs; /* as they are at its first instruction */
    uint64_t bias, base;          /* of the program's addresses, and of the image's */
    bool came[SIGNALS];           /* signals that came meanwhile: it gets them when it runs */
};

/* --- the program's memory and system calls --- */

_Noreturn static void give_up(const struct held *h, const char *what, int why)
{
    if (why)
        tool_fail(0, "run", "the shim could not be put into the program: %s: %s", what, strerror(why));
    else
        tool_fail(0, "run", "the shim could not be put into the program: %s", what);
    kill(h->pid, SIGKILL);
    _exit(1);
}

/* The next stop of its own; signals that stop it on the way are kept for later. */
static void wait_for_stop(struct held *h, int resume, int stop)
{
    int status;
    for (;;) {
        if (ptrace(resume, h->pid, 0, 0) != 0 || waitpid(h->pid, &status, __WALL) != h->pid || !WIFSTOPPED(status))
            give_up(h, "it has ended", 0);
        if (WSTOPSIG(status) == stop)
            return;
        if (WSTOPSIG(status) > 0 && WSTOPSIG(status) < SIGNALS)
            h->came[WSTOPSIG(status)] = true;
    }
}

static void set_registers(struct held *h, const struct user_regs_struct *regs)
{
    if (ptrace(PTRACE_SETREGS, h->pid, 0, regs) != 0)
        give_up(h, "its registers", errno);
}

/* By the program's own instruction for it, before that is replaced. */
static long call(struct held *h, long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct user_regs_struct regs = h->regs;
    regs.rip = h->go->sites.syscall6 + h->bias;
    regs.rax = (unsigned long)number;
    regs.rdi = a;
    regs.rsi = b;
    regs.rdx = c;
    regs.r10 = d;
    regs.r8 = (unsigned long)-1;
    regs.r9 = 0;
    regs.orig_rax = (unsigned long)-1;
    set_registers(h, &regs);
    wait_for_stop(h, PTRACE_SINGLESTEP, SIGTRAP);
    if (ptrace(PTRACE_GETREGS, h->pid, 0, &regs) != 0)
        give_up(h, "its registers", errno);
    return (long)regs.rax;
}

static uint64_t map(struct held *h, uint64_t at, size_t size, int protection, int fixed)
{
    long got = call(h, SYS_mmap, at, size, (uint64_t)protection, (uint64_t)(MAP_PRIVATE | MAP_ANONYMOUS | fixed));
    if ((unsigned long)got > -TOOL_PAGE)
        give_up(h, "mmap is refused in it", (int)-got);
    return (uint64_t)got;
}

/* Word by word, which needs no /proc and is a tracer's right under every setting of it. */
static void write_memory(struct held *h, uint64_t to, const void *from, size_t size)
{
    const uint8_t *bytes = from;
    for (uint64_t word, at = to & ~7UL; at < to + size; at += sizeof word) {
        errno = 0;
        word = (uint64_t)ptrace(PTRACE_PEEKDATA, h->pid, at, 0);
        for (unsigned i = 0; i < sizeof word && !errno; i++)
            if (at + i >= to && at + i < to + size)
                ((uint8_t *)&word)[i] = bytes[at + i - to];
        if (errno || ptrace(PTRACE_POKEDATA, h->pid, at, word) != 0)
            give_up(h, "its memory cannot be written to", errno);
    }
}

/* --- step by step --- */

static int protection_of(const Elf64_Phdr *p)
{
    return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
           (p->p_flags & PF_X ? PROT_EXEC : 0);
}

static void put_image(struct held *h, struct tool_go_image *m)
{
    h->base = map(h, 0, m->size, PROT_NONE, 0);
    tool_go_image_relocate(m, h->base);
    for (unsigned i = 0; i < m->count; i++) {
        const Elf64_Phdr *p = &m->segments[i];
        uint64_t first = tool_page_of(p->p_vaddr);
        map(h, h->base + first, tool_pages_of(p->p_vaddr + p->p_memsz - first), protection_of(p), MAP_FIXED);
        write_memory(h, h->base + p->p_vaddr, m->bytes + p->p_vaddr, p->p_filesz);
    }
}

static uint64_t put_given(struct held *h)
{
    char *tool = tool_beside("ppshim");
    size_t size = sizeof(struct pps_go_image_given) + strlen(tool ? tool : "") + 1;
    struct pps_go_image_given *given = tool_or_abort(calloc(1, size));
    given->helper = getpid();
    strcpy(given->tool, tool ? tool : "");
    uint64_t at = map(h, 0, tool_pages_of(size), PROT_READ | PROT_WRITE, 0);
    write_memory(h, at, given, size);
    return at;
}

static void put_jump(struct held *h, uint64_t site, uint64_t gate)
{
    uint8_t jump[PPS_GO_JUMP_SIZE];
    pps_go_jump(jump, gate);
    write_memory(h, site + h->bias, jump, sizeof jump);
}

static void inject(struct held *h)
{
    struct tool_go_image m;
    if (ptrace(PTRACE_GETREGS, h->pid, 0, &h->regs) != 0)
        give_up(h, "its registers", errno);
    h->bias = h->regs.rip - h->go->entry;
    tool_go_image_read(&m);
    put_image(h, &m);
    uint64_t given = put_given(h);
    put_jump(h, h->go->sites.syscall6, h->base + m.gate);
    if (h->go->sites.epoll_ctl)
        put_jump(h, h->go->sites.epoll_ctl, h->base + m.gate_epoll_ctl);
    struct user_regs_struct regs = h->regs;
    regs.rdi = regs.rip;
    regs.rsi = given;
    regs.rip = h->base + m.start;
    regs.orig_rax = (unsigned long)-1;
    set_registers(h, &regs);
}

static void let_go(const struct held *h)
{
    for (int signal = 1; signal < SIGNALS; signal++)
        if (h->came[signal])
            kill(h->pid, signal);
    ptrace(PTRACE_DETACH, h->pid, 0, 0);
}

/* --- the helper --- */

/* To the end of execve: the program is there then, and about to begin. */
static void wait_for_exec(struct held *h)
{
    int status;
    for (;;) {
        if (waitpid(h->pid, &status, __WALL) != h->pid || !WIFSTOPPED(status))
            _exit(0); /* it could not be executed, and has said so */
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8))
            break;
        int signal = status >> 16 ? 0 : WSTOPSIG(status);
        ptrace(PTRACE_CONT, h->pid, 0, (long)signal);
    }
    wait_for_stop(h, PTRACE_SYSCALL, SIGTRAP | 0x80);
}

_Noreturn static void help(struct held *h, int allowed, int ready)
{
    char byte = 0;
    int why = 0;
    if (read(allowed, &byte, 1) != 1)
        _exit(1);
    if (ptrace(PTRACE_SEIZE, h->pid, 0, PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD) != 0)
        why = errno;
    if (write(ready, &why, sizeof why) != sizeof why || why)
        _exit(1);
    close(ready);
    wait_for_exec(h);
    inject(h);
    let_go(h);
    _exit(0);
}

/* As fork, but it ends without a signal to us. */
static pid_t fork_quietly(void)
{
    return (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
}

static int refuse(const char *verb, const char *path, int why)
{
    const char *hint = "";
    if (why == EPERM || !why) /* a filter may end who it refuses */
        hint = " (it needs ptrace: a SystemCallFilter= must let it, kernel.yama.ptrace_scope be 2 at most and, at 2, "
               "CAP_SYS_PTRACE be there)";
    return tool_fail(TOOL_CANNOT_RUN, verb, "%s is a static Go program, and the shim cannot be put into it: %s%s", path,
                     why ? strerror(why) : "the helper has ended", hint);
}

int tool_inject_exec(const char *verb, const char *path, const struct tool_go *go, char **argv)
{
    int allowed[2], ready[2], why = 0;
    struct held h = {.pid = getpid(), .go = go};
    if (pipe2(allowed, O_CLOEXEC) != 0 || pipe2(ready, O_CLOEXEC) != 0)
        return tool_fail(TOOL_CANNOT_RUN, verb, "%m");
    pid_t helper = fork_quietly();
    if (helper < 0)
        return refuse(verb, path, errno);
    if (helper == 0) {
        close(allowed[1]);
        close(ready[0]);
        help(&h, allowed[0], ready[1]);
    }
    close(ready[1]);
    prctl(PR_SET_PTRACER, (unsigned long)helper, 0, 0, 0); /* Yama's; without it there is no such thing */
    if (write(allowed[1], "", 1) != 1 || read(ready[0], &why, sizeof why) != sizeof why)
        return refuse(verb, path, 0);
    if (why)
        return refuse(verb, path, why);
    execv(path, argv);
    return tool_fail(errno == ENOENT ? TOOL_NOT_FOUND : TOOL_CANNOT_RUN, verb, "%s: %m", path);
}
