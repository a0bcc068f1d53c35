/* SPDX-License-Identifier: MIT
 *
 * given.h: what ppshim(1) gives the image it puts into a static Go program.
 */
#ifndef PPSHIM_GO_IMAGE_GIVEN_H
#define PPSHIM_GO_IMAGE_GIVEN_H

#include <sys/types.h>

struct pps_go_image_given {
    pid_t helper; /* the child that put the image there and ends: to be waited for, since the program knows of none */
    char tool[];  /* where ppshim(1) is, for static programs that this one starts */
};

/* At the image's entry; distances from there. */
struct pps_go_image_head {
    long start, gate, gate_epoll_ctl;
};

#endif
