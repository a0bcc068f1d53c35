/* SPDX-License-Identifier: MIT
 *
 * gate.S: where a Go program's system calls come through.
 *
 * It is jumped to in place of a `syscall`, with the kernel's arguments in its registers and, for the kernel clobbers
 * them, rcx and r11 free; rbx is free as well, for what called sets it anew or expects nothing in it. All other
 * registers are as they were when the caller goes on: no vector register is touched but xmm15, which Go keeps at zero
 * and which is made zero again. A goroutine has no room on its stack: not a byte is pushed there. A signal may come at
 * any instruction: Go's handlers run on a stack of their own, find by the program counter that this is none of Go's
 * functions, and look no further.
 */
#include "../sys/bare/stack.h"
#include "gate.h"

#define SYS_epoll_ctl 233
#define SYS_sched_yield 24

/* fd_table.h; calls.c asserts them. */
#define FD_MAX 0x100000
#define FD_OTHER 1
#define FD_NO_SOCKET 2
#define FD_INHERITED 5

/* A stack of ours: its head in r11. Free ones are looked for from a place on that threads differ in; where all are
   taken the others go first. Clobbers rcx. */
.macro CLAIM
0:	mov	%rsp, %r11
	shr	$12, %r11
	and	$(PPS_STACK_COUNT - 1), %r11d
	shl	$16, %r11
	add	pps_stack_first(%rip), %r11
	mov	$PPS_STACK_COUNT, %ecx
1:	cmpl	$0, PPS_HEAD_TAKEN(%r11)
	jne	2f
	lock btsl $0, PPS_HEAD_TAKEN(%r11)
	jnc	4f
2:	add	$PPS_STACK_SIZE, %r11
	cmp	pps_stack_end(%rip), %r11
	jb	3f
	mov	pps_stack_first(%rip), %r11
3:	dec	%ecx
	jnz	1b
	movq	%rax, %xmm15
	mov	$SYS_sched_yield, %eax
	syscall
	movq	%xmm15, %rax
	pxor	%xmm15, %xmm15
	jmp	0b
4:
.endm

	.text

	.balign	16
	.hidden	pps_go_status
.Lmark: /* struct pps_go_mark */
	.ascii	PPS_GO_MARK
	.ascii	PPS_VERSION
	.org	.Lmark + PPS_GO_MARK_SIZE + PPS_GO_VERSION_SIZE
	.quad	pps_go_status - pps_go_gate

	.globl	pps_go_gate
	.hidden	pps_go_gate
	.type	pps_go_gate, @function
pps_go_gate: /* Syscall6 has no frame: the return address is its caller's */
	.cfi_startproc
	cmp	$PPS_GO_NUMBERS, %rax
	jae	.Lkernel
	lea	pps_go_calls(%rip), %r11
	movzbl	(%r11,%rax), %r11d
	test	%r11d, %r11d
	jnz	.Lours
.Lkernel:
	syscall
.Lback: /* the rest of Syscall6, in its own words */
	cmp	$-4095, %rax
	jbe	5f
	neg	%rax
	mov	%rax, %rcx
	mov	$-1, %rax
	mov	$0, %ebx
	ret
5:	mov	%rdx, %rbx
	mov	$0, %ecx
	ret

.Lours:
	lea	.Lback(%rip), %rbx
	cmp	$PPS_GO_CLOSE, %r11d
	lea	pps_fd_words(%rip), %r11
	jb	.Lanswer
	ja	6f
	cmp	$FD_MAX, %rdi
	jae	.Lkernel
	cmpw	$FD_INHERITED, (%r11,%rdi,2)
	jae	.Lanswer
	movw	$0, (%r11,%rdi,2)
	jmp	.Lkernel
6:	cmp	$FD_MAX, %rdx
	jae	.Lanswer
	movzwl	(%r11,%rdx,2), %r11d
	sub	$FD_OTHER, %r11d
	cmp	$(FD_NO_SOCKET - FD_OTHER), %r11d
	jbe	.Lkernel
	jmp	.Lanswer
	.cfi_endproc
	.size	pps_go_gate, . - pps_go_gate

/* rbx: where to go on. By this name gdb knows a frame whose caller's is on another stack, and may be below it. */
	.type	__morestack, @function
__morestack:
.Lanswer:
	.cfi_startproc
	CLAIM
	mov	%rsp, PPS_HEAD_SP(%r11)
	mov	%rbx, PPS_HEAD_BACK(%r11)
	mov	%r11, %rbx
	mov	%r11, %rsp
	/* the caller's frame is *(rbx + PPS_HEAD_SP) + 8: breg3 8, deref, plus_uconst 8 */
	.cfi_escape 0x0f, 5, 0x73, PPS_HEAD_SP, 0x06, 0x23, 8
	push	%r9
	push	%r8
	push	%r10
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rax
	mov	%rsp, %rdi
	sub	$8, %rsp
	cld
	call	pps_go_answer
	add	$16, %rsp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%r10
	pop	%r8
	pop	%r9
	mov	%rbx, %r11
	mov	PPS_HEAD_BACK(%r11), %rcx
	mov	PPS_HEAD_SP(%r11), %rsp
	.cfi_def_cfa %rsp, 8
	movl	$0, PPS_HEAD_TAKEN(%r11)
	jmp	*%rcx
	.cfi_endproc
	.size	__morestack, . - __morestack

	.globl	pps_go_gate_epoll_ctl
	.hidden	pps_go_gate_epoll_ctl
	.type	pps_go_gate_epoll_ctl, @function
pps_go_gate_epoll_ctl: /* the number is not loaded yet, and the answer goes where the caller wants it */
	.cfi_startproc
	mov	$SYS_epoll_ctl, %eax
	lea	.Lback_epoll_ctl(%rip), %rbx
	cmp	$FD_MAX, %rdx
	jae	.Lanswer
	lea	pps_fd_words(%rip), %r11
	movzwl	(%r11,%rdx,2), %r11d
	sub	$FD_OTHER, %r11d
	cmp	$(FD_NO_SOCKET - FD_OTHER), %r11d
	ja	.Lanswer
	syscall
.Lback_epoll_ctl:
	mov	%eax, 0x20(%rsp)
	ret
	.cfi_endproc
	.size	pps_go_gate_epoll_ctl, . - pps_go_gate_epoll_ctl

/* long pps_stack_call(long (*what)(void *), void *with) */
	.globl	pps_stack_call
	.hidden	pps_stack_call
	.type	pps_stack_call, @function
pps_stack_call:
	.cfi_startproc
	push	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	CLAIM
	mov	%rsp, PPS_HEAD_SP(%r11)
	mov	%r11, %rbx
	mov	%r11, %rsp
	.cfi_escape 0x0f, 5, 0x73, PPS_HEAD_SP, 0x06, 0x23, 16
	mov	%rdi, %rax
	mov	%rsi, %rdi
	call	*%rax
	mov	%rbx, %r11
	mov	PPS_HEAD_SP(%r11), %rsp
	.cfi_def_cfa %rsp, 16
	movl	$0, PPS_HEAD_TAKEN(%r11)
	pop	%rbx
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
	.size	pps_stack_call, . - pps_stack_call

	.section .note.GNU-stack, "", @progbits
