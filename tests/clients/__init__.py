"""Clients that nobody here wrote, each driven through its own public API against the simulator."""
