"""Leave to use the matrix tiles (AMX) of recent Xeons, which Linux gives a process on request.

vLLM's attention uses them unasked (0.32). Where nothing else in its process has asked before, as
for a first prompt of one or two tokens, whose other products need none, it dies of SIGILL.
"""

import ctypes
import platform

_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA = 158, 0x1023, 18


def request() -> None:
    """Ask for this process and all its threads; where there are none, nothing happens."""
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        feature = ctypes.c_ulong(_XFEATURE_XTILEDATA)
        ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, feature)
