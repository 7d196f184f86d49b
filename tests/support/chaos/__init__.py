"""A client and a world with a fifth of everything going wrong, and the books of what happened."""
