"""The clients people use today on the same work: `python -m benchmarks`."""
