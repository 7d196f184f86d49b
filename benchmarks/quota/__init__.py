"""The budget in virtual time: `python -m benchmarks.quota`."""
