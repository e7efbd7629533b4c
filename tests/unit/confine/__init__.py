"""Unit tests of confine."""
