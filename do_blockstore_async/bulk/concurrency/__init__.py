"""Many coroutines at once: the pool, the map, and waits that cannot be cancelled."""
