"""Runs a command that dies with its parent: `python leash.py PARENT COMMAND...`.

A launcher that is killed with SIGKILL can stop nothing any more, and what it started would hold
its ports until somebody looks for it. Linux can send a signal to a process whose parent has died;
the setting survives exec, so this file sets it and becomes the command. A pre-exec function would
do the same but may deadlock in a process that has threads, as a test run has.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_NOT_RUN = 127  # as the shell says it


def main(parent: int, command: list[str]) -> int:
    """Become `command`, or say why not."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we were tied to it
        return _NOT_RUN
    try:
        os.execvp(command[0], command)  # noqa: S606 - the command that the stack composed
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
    return _NOT_RUN


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
