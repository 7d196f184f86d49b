"""Bulk jobs: a whole night's work, memory, and kill -9."""
