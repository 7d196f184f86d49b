"""Append-only logs that several processes share: one protocol, a module for each kind of store."""
