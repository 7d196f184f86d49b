"""What the shell completes: words of the program at once, names and ids from a short-lived cache.

It is asked at each press of Tab, so it imports neither the parser nor the client, and never waits
for the network.
"""
