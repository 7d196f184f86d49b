"""How models meet other libraries: pydantic, rich, IPython, JSON. Nothing of them is imported."""
