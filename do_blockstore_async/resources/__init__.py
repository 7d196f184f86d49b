"""What a user calls: one manager for each resource, each laid out alike."""
