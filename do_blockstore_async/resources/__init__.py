"""The managers: one for each resource, with the methods that users call."""
