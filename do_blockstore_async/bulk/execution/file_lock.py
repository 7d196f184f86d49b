"""Lock an open file; the operating system releases the lock when the process dies."""

from __future__ import annotations

import sys

__all__ = ["lock_file"]

if sys.platform == "win32":
    import msvcrt

    # A byte far beyond any journal: Windows forbids reading the bytes that a lock covers.
    _FAR = 1 << 40

    def lock_file(file: int) -> bool:
        """Take the lock, without waiting; False if another process holds it."""
        import os

        at = os.lseek(file, 0, os.SEEK_CUR)
        os.lseek(file, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(file, at, os.SEEK_SET)
        return True

else:
    import fcntl

    def lock_file(file: int) -> bool:
        """Take the lock, without waiting; False if another run holds it, of this process too."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
