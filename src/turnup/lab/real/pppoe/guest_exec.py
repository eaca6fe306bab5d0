"""Runs User-Mode-Linux 6.1 on processors with AMX, too: ``python -m …guest_exec linux.uml ARGUMENTS``.

It keeps a guest's floating-point state in a buffer too small for AMX (PTRACE_SETREGSET of NT_X86_XSTATE
fails with EFAULT: "ptrace set fp regs failed, errno = 14"). Refused that request from the start, it falls
back to PTRACE_GETFPREGS, which knows SSE only; so programs of the guest are told not to use AVX
(GLIBC_TUNABLES). Where the processor has no AMX, nothing is done.
"""

import ctypes
import os
import struct
import sys
from pathlib import Path

_NO_AVX = "GLIBC_TUNABLES=glibc.cpu.hwcaps=" + ",".join(
    f"-{name}"
    for name in ("XSAVE", "XSAVEC", "AVX", "AVX2", "AVX512F", "AVX512VL", "AVX512BW",
                 "AVX_Fast_Unaligned_Load")
)  # fmt: skip
_PTRACE, _PTRACE_GETREGSET, _NT_X86_XSTATE = 101, 0x4204, 0x202
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL_WITH_EIO = 0x7FFF0000, 0x00050005
_CALL, _FIRST_ARGUMENT, _THIRD_ARGUMENT = 0, 16, 32
"""Offsets in struct seccomp_data."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def words(command: list[str], cpu_flags: set[str]) -> list[str]:
    """The guest's command line on a processor with these flags."""
    return [*command, _NO_AVX] if "amx_tile" in cpu_flags else command


def refusing_xstate() -> bytes:
    """The filter: ptrace(PTRACE_GETREGSET, _, NT_X86_XSTATE) is an error, all else is allowed (bpf(2))."""
    steps = [
        (_LOAD, 0, 0, _CALL),
        (_JUMP_EQUAL, 0, 5, _PTRACE),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_EQUAL, 0, 3, _PTRACE_GETREGSET),
        (_LOAD, 0, 0, _THIRD_ARGUMENT),
        (_JUMP_EQUAL, 0, 1, _NT_X86_XSTATE),
        (_RETURN, 0, 0, _FAIL_WITH_EIO),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _install(program: bytes) -> None:
    held = ctypes.create_string_buffer(program, len(program))
    described = _Program(len(program) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(described)) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def main() -> None:
    flags = set()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            flags = set(line.split())
            break
    command = words(sys.argv[1:], flags)
    if command != sys.argv[1:]:
        _install(refusing_xstate())
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
