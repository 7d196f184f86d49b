"""Knowledge of the API: its objects, its arguments, and how they are written as JSON."""
