"""Certificates: what is in them, whether they are trusted, and which of them are used (RFC 5280, RFC 8550)."""
