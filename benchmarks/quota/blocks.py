"""Many `background()` blocks: `python -m benchmarks.quota.blocks [--blocks N]`.

Each block is a job of its own. What one costs must not grow with how many there have been.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from do_blockstore_async import Config, Throttle

_SLICES = 10
# So many requests fit at once that no block ever waits.
_ROOMY = Config(windows=((10**9, 60.0),), reserve=(0.0,), burst=10**9)


async def _slices(blocks: int) -> list[float]:
    """Return the microseconds that a block takes, for each tenth of them."""
    throttle = Throttle(_ROOMY)
    found: list[float] = []
    for _ in range(_SLICES):
        began = time.perf_counter()
        for _ in range(blocks // _SLICES):
            with throttle.background():
                async with throttle.acquire() as lease:
                    lease.cancel()
        found.append((time.perf_counter() - began) / (blocks // _SLICES) * 1e6)
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=1_000_000)
    blocks = max(_SLICES, parser.parse_args().blocks)
    found = asyncio.run(_slices(blocks))
    print(f"{blocks:,} blocks; µs for each block, by tenths of them:")
    print(" ".join(f"{each:.2f}" for each in found))
    print(f"last to first: {found[-1] / found[0]:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
