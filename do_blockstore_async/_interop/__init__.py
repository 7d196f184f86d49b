"""Other libraries: what models are to them, and what their users write here."""
