"""What callers were told against what happened: `python -m benchmarks.chaos`."""
