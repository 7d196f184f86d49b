"""Large fleets: what they cost, and for how long they stop the event loop."""
