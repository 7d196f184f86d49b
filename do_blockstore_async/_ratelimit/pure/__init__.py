"""The arithmetic of the budget: ledger, windows, headers, forecast. Pure: no clock, no I/O."""
