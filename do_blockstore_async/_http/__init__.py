"""One request, from its description to its outcome. Nothing here knows what a volume is for."""
