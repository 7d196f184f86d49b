"""Run a program, and tell what it has cost: `python -S launch.py FOLDER WORDS...`.

A program of its own because Linux counts as the peak memory of a process what the one held that it
was started from: that one must be small. Prints the resources used, of the program alone, as JSON.
"""

import json
import os
import sys
import time

folder, *words = sys.argv[1:]
OUTPUT, ERRORS = f"{folder}/output", f"{folder}/errors"
_NEW = os.O_CREAT | os.O_WRONLY | os.O_TRUNC

began = time.perf_counter()
child = os.posix_spawn(
    words[0],
    words,
    os.environ,
    file_actions=[(os.POSIX_SPAWN_OPEN, 1, OUTPUT, _NEW, 0o600),
                  (os.POSIX_SPAWN_OPEN, 2, ERRORS, _NEW, 0o600)],
)  # fmt: skip
_, status, used = os.wait4(child, 0)
print(json.dumps({
    "code": os.waitstatus_to_exitcode(status),
    "cpu_s": used.ru_utime + used.ru_stime,
    "kernel_s": used.ru_stime,
    "wall_s": time.perf_counter() - began,
    "peak_mib": used.ru_maxrss / 1024,
}))  # fmt: skip
