"""Large fleets: what a hundred thousand volumes and a million snapshots cost, and what they stop."""
