/* SPDX-License-Identifier: MIT
 *
 * head.S: the beginning of the image that ppshim(1) puts into a static Go program (tool/inject.c).
 */

/* Where the image's "entry" is: what the tool wants to know of it, as distances from here. */
	.section .rodata
	.globl	pps_go_image
	.hidden	pps_go_image
	.balign	8
pps_go_image:
	.quad	pps_go_image_start - pps_go_image
	.quad	pps_go_gate - pps_go_image
	.quad	pps_go_gate_epoll_ctl - pps_go_image

/* In place of the program's first instruction, on its stack as execve(2) made it. rdi: the program's entry; rsi: what
   the tool gives. The registers are as execve leaves them when the program goes on. */
	.text
	.hidden	pps_go_image_start
	.type	pps_go_image_start, @function
pps_go_image_start:
	.cfi_startproc
	.cfi_undefined %rip
	mov	%rsp, %rbx
	push	%rdi
	push	%rdi
	mov	%rbx, %rdi
	call	pps_go_image_begin
	pop	%r11
	pop	%r11
	xor	%eax, %eax
	xor	%ebx, %ebx
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	jmp	*%r11
	.cfi_endproc
	.size	pps_go_image_start, . - pps_go_image_start

	.section .note.GNU-stack, "", @progbits
