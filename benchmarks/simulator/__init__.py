"""What the simulator costs: memory for what it holds, time for each request."""
