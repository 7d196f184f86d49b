"""One token in many processes, measured: `python -m benchmarks.fleet`."""
