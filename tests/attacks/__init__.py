"""Attacks: each file is one, tried against us."""
