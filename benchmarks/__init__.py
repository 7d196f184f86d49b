"""Measurements of the package, and the small worlds they run in."""
