"""Tests on mail and data that nobody here made; collected only where that folder exists."""
