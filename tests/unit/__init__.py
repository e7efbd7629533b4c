"""Tests without database or socket, one file for each source file."""
