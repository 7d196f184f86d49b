"""Pages for a browser: the report of an inventory, and the live page of a budget."""
