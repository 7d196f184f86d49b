"""The commands of `do-blockstore jobs`."""
