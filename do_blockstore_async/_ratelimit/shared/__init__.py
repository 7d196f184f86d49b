"""One budget for all processes and machines that use a token (docs/design/shared-budget.md)."""
