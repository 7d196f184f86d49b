"""The version, in its only place: the build, the User-Agent and the command line read it here."""

__all__ = ["__version__"]

__version__ = "0.1.0"
