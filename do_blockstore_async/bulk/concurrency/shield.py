"""Wait for a coroutine to finish even if the waiting task is cancelled; see `_clock.py`."""

from __future__ import annotations

from ..._clock import run_to_completion

__all__ = ["run_to_completion"]
