"""The system calls that a program inside the sandbox may not make, as a filter of the kernel (seccomp, classic BPF).

Owns the list. All else is allowed: what can be reached is the business of the namespaces; this closes what reaches past
them: other processes' memory, kernel interfaces, new namespaces, and kinds of sockets that no network namespace holds.

Sources: seccomp(2), the kernel's tables of system calls (x86_64, and the common table of arm64), bpf_common.h.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterator

_REFUSED = {
    # name: number on x86_64, on aarch64
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "swapon": (167, 224),
    "reboot": (169, 142),
    "acct": (163, 89),
    "quotactl": (179, 60),
}
_CLONE, _CLONE3, _SOCKET, _IOCTL = (56, 220), (435, 435), (41, 198), (16, 29)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: all belong to the network namespace. AF_VSOCK, for one, does not."""
_NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWUSER, NEWNS, NEWPID, NEWNET, NEWIPC, NEWUTS, NEWCGROUP, NEWTIME."""
_TIOCSTI = 0x5412
_LOAD, _EQUAL, _AT_LEAST, _AND_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
"""Offsets in ``seccomp_data``: the call's number, the machine, and the low halves of two arguments."""


def is_known(machine: str = "") -> bool:
    """Is there a filter for this kind of processor?"""
    return (machine or platform.machine()) in _MACHINES


def program(machine: str = "") -> bytes:
    """The filter as the kernel takes it: an array of ``sock_filter``. KeyError for an unknown kind of processor."""
    column, architecture = _MACHINES[machine or platform.machine()]
    return b"".join(struct.pack("<HBBI", *step) for step in _steps(column, architecture))


def _steps(column: int, architecture: int) -> Iterator[tuple[int, int, int, int]]:
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, architecture
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER
    if column == 0:  # the x32 table would be a second door to every call
        yield _AT_LEAST, 0, 1, 0x40000000
        yield _RETURN, 0, 0, _KILL
    for numbers in _REFUSED.values():
        yield from _refuse(numbers[column], errno.EPERM)
    yield from _refuse(_CLONE3[column], errno.ENOSYS)  # its flags lie in memory: the C library then takes clone
    yield from _unless_flags(_CLONE[column])
    yield from _only_families(_SOCKET[column])
    yield from _unless_second(_IOCTL[column])
    yield _RETURN, 0, 0, _ALLOW


def _refuse(number: int, error: int) -> Iterator[tuple[int, int, int, int]]:
    yield _EQUAL, 0, 1, number
    yield _RETURN, 0, 0, _ERROR | error


def _unless_flags(number: int) -> Iterator[tuple[int, int, int, int]]:
    yield _EQUAL, 0, 4, number
    yield _LOAD, 0, 0, _FIRST
    yield _AND_SET, 0, 1, _NEW_NAMESPACES
    yield _RETURN, 0, 0, _ERROR | errno.EPERM
    yield _RETURN, 0, 0, _ALLOW


def _only_families(number: int) -> Iterator[tuple[int, int, int, int]]:
    yield _EQUAL, 0, 3 + len(_FAMILIES), number
    yield _LOAD, 0, 0, _FIRST
    for index, family in enumerate(_FAMILIES):
        yield _EQUAL, len(_FAMILIES) - index, 0, family
    yield _RETURN, 0, 0, _ERROR | errno.EAFNOSUPPORT
    yield _RETURN, 0, 0, _ALLOW


def _unless_second(number: int) -> Iterator[tuple[int, int, int, int]]:
    yield _EQUAL, 0, 3, number
    yield _LOAD, 0, 0, _SECOND
    yield _EQUAL, 0, 1, _TIOCSTI
    yield _RETURN, 0, 0, _ERROR | errno.EPERM
