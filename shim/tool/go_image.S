/* SPDX-License-Identifier: MIT
 *
 * go_image.S: the image for static Go programs, as a file in the tool.
 */
	.section .rodata
	.globl	tool_go_image, tool_go_image_end
	.balign	16
tool_go_image:
	.incbin	PPS_GO_IMAGE
tool_go_image_end:

	.section .note.GNU-stack, "", @progbits
