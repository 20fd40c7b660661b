"""Seccomp: a process gives up every system call but those on a list (https://docs.kernel.org/userspace-api/seccomp_filter.html).

What is not on the list fails with "operation not permitted": sockets, new processes and programs, signals to others,
tracing, mounts, changes of owner and mode, shared memory beyond its own. The filter is classic BPF, assembled here.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

PR_SET_NAME, PR_GET_NAME, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_VMA = 15, 16, 22, 38, 0x53564D41
PR_GET_SECCOMP = 21
MODE_FILTER = 2
ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # places in struct seccomp_data
X32 = 0x40000000
CLONE_THREAD = 0x10000
F_SETLKW, F_DUPFD_CLOEXEC = 7, 1030
TCGETS, FIOCLEX, FIONREAD = 0x5401, 0x5451, 0x541B

NAMES = (
    "read write pread64 pwrite64 readv writev preadv pwritev lseek close close_range dup dup3 openat fstat "
    "newfstatat statx statfs fstatfs faccessat faccessat2 readlinkat getdents64 getcwd chdir fchdir ftruncate "
    "fallocate fsync fdatasync flock unlinkat mkdirat renameat renameat2 symlinkat umask fadvise64 sendfile "
    "mmap munmap mremap mprotect madvise brk membarrier futex set_robust_list get_robust_list rseq "
    "set_tid_address exit exit_group sched_yield sched_getaffinity sched_getparam sched_getscheduler getcpu "
    "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall nanosleep clock_nanosleep "
    "clock_gettime clock_getres gettimeofday times getrusage getpid gettid getppid getuid geteuid getgid "
    "getegid getresuid getresgid getgroups getpgid getsid getrandom uname sysinfo ppoll pselect6"
)
OLD_NAMES = "open stat lstat access readlink getdents unlink mkdir rmdir rename symlink poll select dup2 time getpgrp"
"""Of x86-64 only: newer processors never had them."""

TABLES: dict[str, tuple[int, str]] = {
    "x86_64": (
        0xC000003E,
        "read=0 write=1 open=2 close=3 stat=4 fstat=5 lstat=6 poll=7 lseek=8 mmap=9 mprotect=10 munmap=11 "
        "brk=12 rt_sigaction=13 rt_sigprocmask=14 rt_sigreturn=15 ioctl=16 pread64=17 pwrite64=18 readv=19 "
        "writev=20 access=21 select=23 sched_yield=24 mremap=25 madvise=28 dup=32 dup2=33 nanosleep=35 "
        "getpid=39 sendfile=40 clone=56 exit=60 uname=63 fcntl=72 flock=73 fsync=74 fdatasync=75 ftruncate=77 "
        "getdents=78 getcwd=79 chdir=80 fchdir=81 rename=82 mkdir=83 rmdir=84 unlink=87 symlink=88 "
        "readlink=89 umask=95 gettimeofday=96 getrlimit=97 getrusage=98 sysinfo=99 times=100 getuid=102 "
        "getgid=104 geteuid=107 getegid=108 getppid=110 getpgrp=111 getgroups=115 getresuid=118 getresgid=120 "
        "getpgid=121 getsid=124 sigaltstack=131 statfs=137 fstatfs=138 sched_getparam=143 "
        "sched_getscheduler=145 prctl=157 gettid=186 time=201 futex=202 sched_getaffinity=204 getdents64=217 "
        "set_tid_address=218 restart_syscall=219 fadvise64=221 clock_gettime=228 clock_getres=229 "
        "clock_nanosleep=230 exit_group=231 openat=257 mkdirat=258 newfstatat=262 unlinkat=263 renameat=264 "
        "symlinkat=266 readlinkat=267 faccessat=269 pselect6=270 ppoll=271 set_robust_list=273 "
        "get_robust_list=274 fallocate=285 dup3=292 preadv=295 pwritev=296 prlimit64=302 getcpu=309 "
        "renameat2=316 getrandom=318 membarrier=324 statx=332 rseq=334 clone3=435 close_range=436 "
        "faccessat2=439",
    ),
    "aarch64": (
        0xC00000B7,
        "getcwd=17 dup=23 dup3=24 fcntl=25 ioctl=29 flock=32 mkdirat=34 unlinkat=35 symlinkat=36 renameat=38 "
        "statfs=43 fstatfs=44 ftruncate=46 fallocate=47 faccessat=48 chdir=49 fchdir=50 openat=56 close=57 "
        "getdents64=61 lseek=62 read=63 write=64 readv=65 writev=66 pread64=67 pwrite64=68 preadv=69 "
        "pwritev=70 sendfile=71 pselect6=72 ppoll=73 readlinkat=78 newfstatat=79 fstat=80 fsync=82 "
        "fdatasync=83 exit=93 exit_group=94 set_tid_address=96 futex=98 set_robust_list=99 "
        "get_robust_list=100 nanosleep=101 clock_gettime=113 clock_getres=114 clock_nanosleep=115 "
        "sched_getscheduler=120 sched_getparam=121 sched_getaffinity=123 sched_yield=124 restart_syscall=128 "
        "sigaltstack=132 rt_sigaction=134 rt_sigprocmask=135 rt_sigreturn=139 getresuid=148 getresgid=150 "
        "times=153 getpgid=155 getsid=156 getgroups=158 uname=160 getrlimit=163 getrusage=165 umask=166 "
        "prctl=167 getcpu=168 gettimeofday=169 getpid=172 getppid=173 getuid=174 geteuid=175 getgid=176 "
        "getegid=177 gettid=178 sysinfo=179 brk=214 munmap=215 mremap=216 clone=220 mmap=222 fadvise64=223 "
        "mprotect=226 madvise=233 prlimit64=261 renameat2=276 getrandom=278 membarrier=283 statx=291 rseq=293 "
        "clone3=435 close_range=436 faccessat2=439",
    ),
}
"""By machine: what the kernel calls it, and the numbers of its system calls."""


def available() -> bool:
    """Return whether this kernel filters system calls, on a processor whose calls are known here."""
    return platform.machine() in TABLES and _prctl(PR_GET_SECCOMP, 0) >= 0


def restrict(threads: bool) -> None:
    """Give up every system call that is not on the list, for good.

    Args:
        threads: new threads may be made; new processes never.

    Raises:
        OSError: the kernel refuses.
    """
    program = assemble(platform.machine(), threads)
    code = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    whole = Program(len(program) // 8, ctypes.addressof(code))
    give_up_new_privileges()
    if _prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.addressof(whole)) < 0:
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")


def give_up_new_privileges() -> None:
    """Give up what programs with special rights would add, for good."""
    if _prctl(PR_SET_NO_NEW_PRIVS, 1) < 0:
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")


def assemble(machine: str, threads: bool) -> bytes:
    """Return the filter for a machine, eight bytes an instruction.

    A call is compared with one number after the other. Some may only be made with certain arguments: those that would
    reach other processes (``F_SETSIG`` makes the kernel send any signal, ``prlimit64`` binds anybody) may not.
    """
    architecture, table = TABLES[machine]
    numbers = {name: int(number) for name, number in (entry.split("=") for entry in table.split())}
    code = [
        _op(LOAD, ARCHITECTURE),
        _op(JUMP_EQUAL, architecture, 1, 0),
        _op(RETURN, KILL_PROCESS),
        _op(LOAD, NUMBER),
        _op(JUMP_GREATER_EQUAL, X32, 0, 1),
        _op(RETURN, ERRNO | errno.EPERM),
    ]
    allowed = [*NAMES.split(), *(OLD_NAMES.split() if machine == "x86_64" else []), "getrlimit"]
    for name in allowed:
        code += [_op(JUMP_EQUAL, numbers[name], 0, 1), _op(RETURN, ALLOW)]
    code += _where(numbers["fcntl"], 1, [*range(5), 5, 6, F_SETLKW, F_DUPFD_CLOEXEC])
    code += _where(numbers["ioctl"], 1, [TCGETS, FIOCLEX, FIONREAD])
    code += _where(numbers["prctl"], 0, [PR_SET_NAME, PR_GET_NAME, PR_SET_VMA])
    code += _where(numbers["prlimit64"], 0, [0])
    # The C library asks by clone3 first, whose flags a filter cannot see, and by clone where there is none.
    code += [_op(JUMP_EQUAL, numbers["clone3"], 0, 1), _op(RETURN, ERRNO | errno.ENOSYS)]
    if threads:
        code += [
            _op(JUMP_EQUAL, numbers["clone"], 0, 3),
            _op(LOAD, ARGUMENTS),
            _op(JUMP_ANY_BIT, CLONE_THREAD, 0, 1),
            _op(RETURN, ALLOW),
        ]
    code.append(_op(RETURN, ERRNO | errno.EPERM))
    return b"".join(code)


def _where(number: int, argument: int, values: list[int]) -> list[bytes]:
    """Allow a call where an argument, of which the kernel reads 32 bits, is one of ``values``; refuse it elsewhere."""
    code = [_op(JUMP_EQUAL, number, 0, 2 + 2 * len(values)), _op(LOAD, ARGUMENTS + 8 * argument)]
    for value in values:
        code += [_op(JUMP_EQUAL, value, 0, 1), _op(RETURN, ALLOW)]
    code.append(_op(RETURN, ERRNO | errno.EPERM))
    return code


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _prctl(option: int, first: int, second: int = 0) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    argument = ctypes.c_ulong
    return int(libc.prctl(option, argument(first), argument(second), argument(0), argument(0)))
