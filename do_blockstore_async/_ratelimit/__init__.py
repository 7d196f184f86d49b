"""The request budget of a token: who may send when."""
