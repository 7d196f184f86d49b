"""From what an account holds to a plan of steps."""
