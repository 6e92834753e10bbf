"""Leave to use the matrix tiles (AMX) of recent Xeons, which Linux gives a process on request.

vLLM's attention uses them unasked (0.32). Where nothing else in its process has asked before, as
for a first prompt of one or two tokens, whose other products need none, it dies of SIGILL.
"""

import ctypes
import platform

_ARCH_PRCTL = 158
_ARCH_GET_XCOMP_PERM, _ARCH_REQ_XCOMP_PERM = 0x1022, 0x1023
_XFEATURE_XTILEDATA = 18


def request() -> None:
    """Ask for this process and all its threads; where there are none, nothing happens."""
    if _is_x86_linux():
        _arch_prctl(_ARCH_REQ_XCOMP_PERM, ctypes.c_ulong(_XFEATURE_XTILEDATA))


def permitted() -> bool:
    """Whether this process may use them."""
    features = ctypes.c_uint64()
    if _is_x86_linux():
        _arch_prctl(_ARCH_GET_XCOMP_PERM, ctypes.byref(features))
    return bool(features.value >> _XFEATURE_XTILEDATA & 1)


def _is_x86_linux() -> bool:
    return (platform.system(), platform.machine()) == ("Linux", "x86_64")


def _arch_prctl(*arguments: object) -> None:
    ctypes.CDLL(None).syscall(_ARCH_PRCTL, *arguments)
