"""What the web integrations share: problem details, scopes, Retry-After, health."""
