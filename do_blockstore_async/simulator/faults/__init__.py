"""What can go wrong between a client and the API, by rules."""
