# SPDX-License-Identifier: MIT
"""seccomp.py: programs that the kernel refuses a system call, as a unit's SystemCallFilter=, a container or an older kernel
would."""
import ctypes
import errno
import os
import struct

_LOAD, _IS, _HAS, _ANSWER = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO = 0x7fff0000, 0x00050000
_SECOND = 24  # where the lower half of the second argument stands in what a filter is given
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2
_libc = ctypes.CDLL(None, use_errno=True)


def refusing(call, error=errno.EPERM, second=None, second_has=None):
    """What subprocess calls before it executes a program, in which system call number `call` then fails with `error`: every
    one, or those whose second argument is that, or has one of those bits."""
    test = (_IS, second) if second is not None else (_HAS, second_has)
    if test[1] is None:
        code = [(_LOAD, 0, 0, 0), (_IS, 0, 1, call)]
    else:
        code = [(_LOAD, 0, 0, 0), (_IS, 0, 3, call), (_LOAD, 0, 0, _SECOND), (test[0], 0, 1, test[1])]
    code += [(_ANSWER, 0, 0, _ERRNO | error), (_ANSWER, 0, 0, _ALLOW)]
    steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
    program = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(steps))

    def install(_steps=steps):
        if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.prctl(_PR_SET_SECCOMP, _FILTER, program, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return install


SECCOMP, NEW_LISTENER = 317, 1 << 3
# Another process is asked already about what this one calls: see seccomp_unotify(2).
NOBODY_IS_ASKED = refusing(SECCOMP, errno.EBUSY, second_has=NEW_LISTENER)
