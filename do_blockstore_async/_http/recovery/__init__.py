"""What became of a request whose response was lost: rules of evidence, and who reads it."""
