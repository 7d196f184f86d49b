"""Several accounts at once: one client for each, and operations over all of them."""
