"""Programs that use a foreign client, each in a process of its own; see `driver.py`."""
