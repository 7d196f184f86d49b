"""Where the token comes from."""
