"""Makes a Python believe that it runs on a phone: every interpreter does that has this folder on its PYTHONPATH.

The platform calls itself "android", and /proc and /sys are denied: all of both, where a real phone denies most.
"""

import os
import sys
import sysconfig

DENIED = ("/proc", "/sys")
EVENTS = ("open", "os.listdir", "os.scandir")


def deny(event, arguments):
    if event not in EVENTS or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    path = os.fsdecode(arguments[0])
    if path in DENIED or path.startswith(tuple(f"{folder}/" for folder in DENIED)):
        raise PermissionError(13, "Permission denied", path)


# Python looks for its build's settings under a name with the platform in it: let it find its own.
os.environ["_PYTHON_SYSCONFIGDATA_NAME"] = sysconfig._get_sysconfigdata_name()
sys.platform = "android"
sys.modules["psutil"] = None  # what PyPI has refuses this platform; Termux patches its own
sys.addaudithook(deny)
