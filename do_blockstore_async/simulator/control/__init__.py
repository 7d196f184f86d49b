"""What stands beside the simulated API: scenarios, files, and the administration by HTTP."""
