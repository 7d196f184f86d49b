"""What tests and benchmarks share: servers, worlds, clocks and tables of cases."""
