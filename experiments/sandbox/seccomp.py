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
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
}
_ABSENT = {"clone3": (435, 435), "openat2": (437, 437), "fchmodat2": (452, 452)}
"""Their arguments lie in memory, or are judged elsewhere: the C library then takes an older call."""
_CLONE, _SOCKET = (56, 220), (41, 198)
_VALUES = (
    # the call's numbers, and values that its second argument may not have
    ((16, 29), (0x5412,)),  # ioctl TIOCSTI: types into a terminal
    ((72, 25), (1024, 1026)),  # fcntl F_SETLEASE, F_NOTIFY: makes others wait who open the file
)
_MODES = (
    # the call's numbers (None: not on this processor), and which argument is a mode: no file may become setuid
    ((90, None), 1),  # chmod
    ((91, 52), 1),  # fchmod
    ((268, 53), 2),  # fchmodat
    ((133, None), 1),  # mknod
    ((259, 33), 2),  # mknodat
    ((85, None), 1),  # creat
    ((2, None), 2),  # open
    ((257, 56), 3),  # openat
)
_SET_ID = 0o6000
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: all belong to the network namespace. AF_VSOCK, for one, does not."""
_NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWUSER, NEWNS, NEWPID, NEWNET, NEWIPC, NEWUTS, NEWCGROUP, NEWTIME."""
_LOAD, _EQUAL, _AT_LEAST, _AND_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in ``seccomp_data``: the call's number, the machine, the low halves of the arguments (eight bytes each)."""


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
    for numbers in _ABSENT.values():
        yield from _refuse(numbers[column], errno.ENOSYS)
    yield from _unless_bits(_CLONE[column], 0, _NEW_NAMESPACES)
    yield from _only_families(_SOCKET[column])
    for numbers, values in _VALUES:
        yield from _unless_values(numbers[column], values)
    for modes, argument in _MODES:
        if (number := modes[column]) is not None:
            yield from _unless_bits(number, argument, _SET_ID)
    yield _RETURN, 0, 0, _ALLOW


def _refuse(number: int, error: int) -> Iterator[tuple[int, int, int, int]]:
    yield _EQUAL, 0, 1, number
    yield _RETURN, 0, 0, _ERROR | error


def _argument(index: int) -> tuple[int, int, int, int]:
    return _LOAD, 0, 0, _ARGUMENTS + 8 * index


def _unless_bits(number: int, argument: int, bits: int) -> Iterator[tuple[int, int, int, int]]:
    """Allow the call, but not with any of these bits in an argument."""
    yield _EQUAL, 0, 4, number
    yield _argument(argument)
    yield _AND_SET, 0, 1, bits
    yield _RETURN, 0, 0, _ERROR | errno.EPERM
    yield _RETURN, 0, 0, _ALLOW


def _only_families(number: int) -> Iterator[tuple[int, int, int, int]]:
    yield _EQUAL, 0, 3 + len(_FAMILIES), number
    yield _argument(0)
    for index, family in enumerate(_FAMILIES):
        yield _EQUAL, len(_FAMILIES) - index, 0, family
    yield _RETURN, 0, 0, _ERROR | errno.EAFNOSUPPORT
    yield _RETURN, 0, 0, _ALLOW


def _unless_values(number: int, values: tuple[int, ...]) -> Iterator[tuple[int, int, int, int]]:
    """Allow the call, but not with any of these values as its second argument."""
    yield _EQUAL, 0, 3 + len(values), number
    yield _argument(1)
    for index, value in enumerate(values):
        yield _EQUAL, len(values) - index, 0, value
    yield _RETURN, 0, 0, _ALLOW
    yield _RETURN, 0, 0, _ERROR | errno.EPERM
