"""How much memory is left, and a limit that makes its end an error.

Linux hands out memory that it does not have, and kills the process that uses it. With
a limit, the allocation fails instead, and the process can say what it wanted.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import sys
from collections.abc import Iterator

_ENDED = "AVEXP_OUT_OF_MEMORY"  # set for the process that follows one that ended so
_kept: list[object] = []  # what C++ calls must not be collected

_CGROUP = pathlib.Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """Returns how much memory this process may still take, None if it isn't known."""
    known = [_machine_bytes(), _cgroup_bytes()]
    return min((n_bytes for n_bytes in known if n_bytes is not None), default=None)


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """While the block runs, taking more memory than there is now is an error.

    It does nothing where memory can't be limited so, as on macOS and Windows.
    """
    available, used = available_bytes(), _status("VmData")
    if available is None or used is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + available
    for other in (soft, hard):
        if other != resource.RLIM_INFINITY:
            limit = min(limit, other)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def ended_before() -> bool:
    """Whether this process follows one that a library ended for want of memory."""
    return bool(os.environ.pop(_ENDED, ""))


def start_again_at_the_end(module: str) -> None:
    """When a C++ library ends the process for want of memory, runs it again to say so.

    Not all of TensorFlow's libraries can report a failed allocation: some throw where
    nobody catches, and the process would end in SIGABRT. The new process, which finds
    `ended_before`, has the same number, flags and limits. It does nothing where there
    is no libstdc++.

    Args:
      module: Of the main; its flags are those of this process.
    """
    command = [sys.executable, "-m", module, *sys.argv[1:]]
    environment = {**os.environ, _ENDED: "1"}

    def terminate() -> None:
        kind = library.__cxa_current_exception_type()
        # A std::type_info: its table of functions, then its mangled name.
        name = kind and ctypes.c_char_p.from_address(kind + ctypes.sizeof(pointer))
        if name and b"bad_alloc" in (name.value or b""):
            os.write(2, b"\n")  # a progress bar leaves its line open
            os.execve(sys.executable, command, environment)

    pointer = ctypes.c_void_p
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libstdc++.so.6")
        library.__cxa_current_exception_type.restype = pointer
        handler = ctypes.CFUNCTYPE(None)(terminate)
        library._ZSt13set_terminatePFvvE(handler)
        _kept.append(handler)


def _machine_bytes() -> int | None:
    return _kilobytes(pathlib.Path("/proc/meminfo"), "MemAvailable")


def _status(name: str) -> int | None:
    return _kilobytes(pathlib.Path("/proc/self/status"), name)


def _kilobytes(path: pathlib.Path, name: str) -> int | None:
    """Returns the bytes in a line such as `MemAvailable:  123 kB`."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0]) * 1024
    return None


def _cgroup_bytes() -> int | None:
    """Returns what is left of a container's share."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # ValueError: it says "max"
            most = int((_CGROUP / limit).read_text())
            return max(most - int((_CGROUP / used).read_text()), 0)
    return None
