"""Tests of asn1."""
