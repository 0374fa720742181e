"""The version, alone: the package and what sends it (`User-Agent`) import it from here."""

__version__ = "0.2.0"
