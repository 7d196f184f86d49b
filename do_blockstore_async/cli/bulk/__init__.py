"""The commands of `do-blockstore bulk`."""
