/* SPDX-License-Identifier: MIT
 *
 * exec.c: see exec.h. Mostly runs in a child that vfork lent the program's memory: it changes nothing there but its own
 * stack, and that one is freed by the kernel, which clears the word at clear_child_tid(2) once the child has let go of
 * the memory.
 */
#include "exec.h"
#include "../preload/process.h"
#include "../sys/bare/call.h"
#include "../sys/bare/stack.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <ppshim/log.h>
#include <ppshim/real.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGUMENTS_MAX 4000 /* that fit on the stack */

static char tool[PATH_MAX];

void pps_go_exec_start(const char *path)
{
    if (strlen(path) < sizeof tool)
        strcpy(tool, path);
}

/* --- what it is --- */

/* Its program headers are where linkers put them, behind the header. */
static bool is_static(const uint8_t *file, size_t size)
{
    Elf64_Ehdr h;
    Elf64_Phdr p;
    memcpy(&h, file, sizeof h);
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_machine != EM_X86_64)
        return false;
    for (size_t i = 0; i < h.e_phnum; i++) {
        size_t at = h.e_phoff + i * sizeof p;
        if (h.e_phoff > size || at + sizeof p > size)
            return false;
        memcpy(&p, file + at, sizeof p);
        if (p.p_type == PT_INTERP)
            return false;
    }
    return true;
}

/* As far as the beginning of the file tells; the tool looks closer. */
static bool is_for_the_tool(const char *path)
{
    uint8_t file[4096] = {0};
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t n = pread(fd, file, sizeof file, 0);
    bool plain = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & (S_ISUID | S_ISGID));
    real_close(fd);
    return plain && n > (ssize_t)sizeof(Elf64_Ehdr) && is_static(file, (size_t)n);
}

static bool wants_the_shim(char *const *environment)
{
    for (; environment && *environment; environment++)
        if (strncmp(*environment, "PPSHIM_TRUST=", 13) == 0 ||
            strncmp(*environment, "PPSHIM_HEADER_OPTIONAL=", 23) == 0)
            return true;
    return false;
}

/* --- starting it --- */

static long execute(const char *path, char *const *argv, char *const *environment)
{
    bool lent = !pps_process_is_owner();
    if (lent)
        pps_call(SYS_set_tid_address, pps_stack_head() + PPS_HEAD_TAKEN);
    long result = pps_call(SYS_execve, path, argv, environment);
    if (lent)
        pps_call(SYS_set_tid_address, 0);
    return result;
}

static long execute_by_the_tool(const char *path, char *const *argv, char *const *environment)
{
    char *with[ARGUMENTS_MAX + 6] = {tool, (char *)"run", (char *)"--child", (char *)"--", (char *)path};
    size_t n = 5;
    if (!*argv) /* without even a name */
        with[n++] = (char *)path;
    for (; *argv && n < ARGUMENTS_MAX; argv++)
        with[n++] = *argv;
    if (*argv)
        return -E2BIG;
    return execute(tool, with, environment);
}

static void tell_unserved(const char *path)
{
    struct pps_line l;
    pps_line_begin(&l, "unserved");
    pps_line_foreign(&l, "exe", path, strlen(path));
    pps_line_word(&l, "reason", *tool ? "ppshim-cannot-be-run" : "ppshim-not-found");
    pps_log(PPS_LOG_ERROR, &l);
}

long pps_go_exec(const struct pps_go_call *c)
{
    const char *path = (const char *)c->a[0];
    char *const *argv = (char *const *)c->a[1], *const *environment = (char *const *)c->a[2];
    if (!path || !argv || !wants_the_shim(environment) || !is_for_the_tool(path))
        return execute(path, argv, environment);
    if (!*tool || pps_call_failed(pps_call(SYS_access, tool, X_OK))) {
        tell_unserved(path);
        return execute(path, argv, environment);
    }
    return execute_by_the_tool(path, argv, environment);
}
