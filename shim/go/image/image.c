/* SPDX-License-Identifier: MIT
 *
 * image.c: the first that runs in a static Go program. Its sites were rewritten by who put the image there.
 */
#include "../../sys/bare/call.h"
#include "../start.h"
#include "given.h"

#define WAIT_FOR_ANY_KIND 0x40000000 /* __WALL: the helper ends without a signal to its parent */

void pps_go_image_begin(long *stack, const struct pps_go_image_given *given);
void pps_go_image_begin(long *stack, const struct pps_go_image_given *given)
{
    char *const *environment = (char *const *)(stack + 1 + stack[0] + 1);
    pps_call(SYS_wait4, given->helper, 0, WAIT_FOR_ANY_KIND, 0);
    pps_go_start(&(struct pps_go_given){environment, given->tool, NULL});
}
