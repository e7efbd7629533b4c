"""Letterlock: an email encryption gateway and secure-message portal."""

__version__ = "0.1.0"
