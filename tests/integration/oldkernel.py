# SPDX-License-Identifier: Apache-2.0
"""Runs a program on a kernel that knows less: oldkernel.py 6.1|6.12 PROGRAM [ARGUMENT...]

A seccomp filter answers as such a kernel would: before 6.13 there is no PIDFD_GET_INFO (ENOTTY), and before 6.5 no
SO_PEERPIDFD either (ENOPROTOOPT). Everything else is the kernel's. Works for any program, sanitizers included.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

SYSCALLS = {"x86_64": (0xC000003E, 55, 16), "aarch64": (0xC00000B7, 209, 29)}  # arch, getsockopt, ioctl
SO_PEERPIDFD = 77
PIDFD_GET_INFO = 0xC040FF0B
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NR, ARCH, ARG0 = 0, 4, 16


def answers(nr, checks, number):
    """Instructions: this system call with these arguments fails so; else go on behind them."""
    code = [(LOAD, 0, 0, NR), (EQUAL, 0, 2 * len(checks) + 1, nr)]
    for i, (arg, value) in enumerate(checks):
        code += [(LOAD, 0, 0, ARG0 + 8 * arg), (EQUAL, 0, 2 * (len(checks) - i) - 1, value)]
    return code + [(RETURN, 0, 0, ERRNO | number)]


def install(version):
    arch, getsockopt, ioctl = SYSCALLS[platform.machine()]
    code = [(LOAD, 0, 0, ARCH), (EQUAL, 1, 0, arch), (RETURN, 0, 0, ALLOW)]
    code += answers(ioctl, [(1, PIDFD_GET_INFO)], errno.ENOTTY)
    if version == "6.1":
        code += answers(getsockopt, [(1, 1), (2, SO_PEERPIDFD)], errno.ENOPROTOOPT)
    code += [(RETURN, 0, 0, ALLOW)]
    text = b"".join(struct.pack("=HBBI", *one) for one in code)
    buf = ctypes.create_string_buffer(text, len(text))
    program = struct.pack("@HP", len(code), ctypes.addressof(buf))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.create_string_buffer(program, len(program)), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def supported():
    return platform.machine() in SYSCALLS


if __name__ == "__main__":
    install(sys.argv[1])
    os.execv(sys.argv[2], sys.argv[2:])
