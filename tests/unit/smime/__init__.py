"""Tests of smime."""
