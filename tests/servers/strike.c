/* SPDX-License-Identifier: MIT
 *
 * strike PID GATE NUMBER...: signals strike a served Go program at every instruction of the gate.
 *
 * A thread that comes to GATE (hexadecimal) with one of these numbers of system calls, or 0: any, is led on from there,
 * instruction by instruction, until it is back with whom it was called by. Before each of them it is sent SIGPROF, and
 * SIGURG, by which Go profiles and preempts, and runs their handlers to the end. Ends when that was done PASSES times
 * for each number. A line for each: the number, how many instructions, what the call returned.
 *
 * Exit status 1, and a line that says why: a register is not what it was behind a handler, or behind the gate; or the
 * stack of whom it serves was used.
 */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASSES 4
#define NUMBERS 512
#define BELOW 65536 /* of the caller's stack nothing this far down may be used */
#define BREAKPOINT 0xcc
#define RESUME_FLAG 0x10000
#define OPTIONS (PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD)

static pid_t pid;
static unsigned long gate, instruction; /* its first, as it was */
static int wanted[NUMBERS], left;

_Noreturn static void fail(const char *what)
{
    printf("not ok: %s\n", what);
    exit(1);
}

static void must(long result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(2);
    }
}

static void resume(int how, pid_t tid, int signal)
{
    must(ptrace(how, tid, 0, (long)signal), "resume");
}

static struct user_regs_struct registers(pid_t tid)
{
    struct user_regs_struct r;
    must(ptrace(PTRACE_GETREGS, tid, 0, &r), "registers");
    return r;
}

static struct user_fpregs_struct vectors(pid_t tid)
{
    struct user_fpregs_struct v;
    must(ptrace(PTRACE_GETFPREGS, tid, 0, &v), "vectors");
    return v;
}

static void set_breakpoint(pid_t tid, bool set) /* by a thread that stands */
{
    unsigned long word = set ? (instruction & ~0xffUL) | BREAKPOINT : instruction;
    must(ptrace(PTRACE_POKETEXT, tid, gate, word), "breakpoint");
}

/* A thread that is at the breakpoint stands before it again. */
static bool stands_at_the_gate(pid_t tid, int status)
{
    if (status >> 8 != SIGTRAP)
        return false;
    struct user_regs_struct r = registers(tid);
    if (r.rip != gate + 1)
        return false;
    r.rip = gate;
    must(ptrace(PTRACE_SETREGS, tid, 0, &r), "registers");
    return true;
}

static int signal_of(int status)
{
    int signal = status >> 16 ? 0 : WSTOPSIG(status);
    return signal == SIGTRAP || signal == (SIGTRAP | 0x80) ? 0 : signal;
}

/* This thread's next stop. The others go on as they would, and through the gate while the breakpoint is out. */
static int next_stop(pid_t tid)
{
    int status;
    for (;;) {
        pid_t who = waitpid(-1, &status, __WALL);
        must(who, "wait");
        if (!WIFSTOPPED(status)) {
            if (who == tid || who == pid)
                fail("the program has ended");
            continue;
        }
        if (who == tid)
            return status;
        stands_at_the_gate(who, status);
        resume(PTRACE_CONT, who, signal_of(status));
    }
}

static void run_handler(pid_t tid, int signal)
{
    for (bool returns = false;; signal = 0) {
        resume(PTRACE_SYSCALL, tid, signal);
        int status = next_stop(tid);
        if (status >> 8 != (SIGTRAP | 0x80))
            fail("a handler was interrupted");
        bool leaves = registers(tid).orig_rax == SYS_rt_sigreturn;
        if (!leaves && returns) /* the kernel puts -1 there when it is back */
            return;
        returns = leaves;
    }
}

static void assert_same(const struct user_regs_struct *before, const struct user_regs_struct *now, const char *where)
{
    struct user_regs_struct expected = *before;
    expected.orig_rax = now->orig_rax;
    expected.eflags ^= (expected.eflags ^ now->eflags) & RESUME_FLAG; /* of who was interrupted, not of what it did */
    if (memcmp(&expected, now, sizeof expected) != 0)
        fail(where);
}

static void strike(pid_t tid, int signal)
{
    struct user_regs_struct before = registers(tid);
    must(syscall(SYS_tgkill, pid, tid, signal), "tgkill");
    resume(PTRACE_SINGLESTEP, tid, 0);
    int status = next_stop(tid);
    if (signal_of(status) == 0)
        fail("a signal is held back in the gate");
    run_handler(tid, signal_of(status));
    struct user_regs_struct now = registers(tid);
    assert_same(&before, &now, "a register is not what it was before a signal");
}

/* One instruction; signals that others send strike too. */
static void step(pid_t tid)
{
    for (;;) {
        resume(PTRACE_SINGLESTEP, tid, 0);
        int status = next_stop(tid);
        if (signal_of(status) == 0)
            return;
        run_handler(tid, signal_of(status));
    }
}

static void assert_returned(const struct user_regs_struct *at, const struct user_regs_struct *r)
{
    struct user_regs_struct expected = *at;
    expected.rip = r->rip;
    expected.rsp = at->rsp + 8;
    expected.eflags = r->eflags;
    expected.rax = r->rax; /* what Syscall6 returns */
    expected.rbx = r->rbx;
    expected.rcx = r->rcx;
    expected.r11 = r->r11; /* the kernel's to clobber */
    assert_same(&expected, r, "a register is not what it was before the call");
}

static void pass(pid_t tid, unsigned long number)
{
    struct user_regs_struct at = registers(tid), r = at;
    struct user_fpregs_struct vectors_at = vectors(tid), v;
    unsigned long back = (unsigned long)ptrace(PTRACE_PEEKDATA, tid, at.rsp, 0);
    unsigned steps = 0;
    for (; r.rip != back || r.rsp != at.rsp + 8; steps++) {
        if (r.rsp < at.rsp && r.rsp >= at.rsp - BELOW)
            fail("the caller's stack is used");
        strike(tid, SIGPROF);
        strike(tid, SIGURG);
        step(tid);
        r = registers(tid);
    }
    assert_returned(&at, &r);
    v = vectors(tid);
    if (memcmp(v.xmm_space, vectors_at.xmm_space, sizeof v.xmm_space) != 0)
        fail("a vector register is not what it was before the call");
    printf("%lu %u %ld\n", number, steps, r.rcx ? -(long)r.rcx : (long)r.rax);
    left -= --wanted[number] == 0;
}

static void attach(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        must(-1, path);
    for (struct dirent *e; (e = readdir(tasks));) {
        pid_t tid = atoi(e->d_name);
        if (tid <= 0 || ptrace(PTRACE_SEIZE, tid, 0, OPTIONS) != 0)
            continue;
        must(ptrace(PTRACE_INTERRUPT, tid, 0, 0), "interrupt");
        must(waitpid(tid, &(int){0}, __WALL), "wait");
        if (tid == pid) { /* from here on others may come there */
            instruction = (unsigned long)ptrace(PTRACE_PEEKTEXT, pid, gate, 0);
            set_breakpoint(tid, true);
        }
        resume(PTRACE_CONT, tid, 0);
    }
    closedir(tasks);
}

static void at_the_gate(pid_t tid)
{
    unsigned long number = wanted[0] ? 0 : registers(tid).rax;
    set_breakpoint(tid, false);
    if (number < NUMBERS && wanted[number] > 0)
        pass(tid, number);
    else
        step(tid);
    set_breakpoint(tid, left > 0);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    pid = atoi(argv[1]);
    gate = strtoul(argv[2], NULL, 16);
    for (int i = 3; i < argc; i++) {
        left += wanted[atoi(argv[i])] == 0;
        wanted[atoi(argv[i])] += PASSES;
    }
    attach();
    puts("ready");
    while (left > 0) {
        int status;
        pid_t tid = waitpid(-1, &status, __WALL);
        must(tid, "wait");
        if (!WIFSTOPPED(status)) {
            if (tid == pid)
                fail("the program has ended");
            continue;
        }
        if (stands_at_the_gate(tid, status)) {
            at_the_gate(tid);
            resume(PTRACE_CONT, tid, 0);
        } else {
            resume(PTRACE_CONT, tid, signal_of(status));
        }
    }
    return 0; /* the kernel lets go of the program, and the breakpoint is out */
}
