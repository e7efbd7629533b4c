"""Certificates from an authority elsewhere by ACME, proved by mail (RFC 8555, RFC 8823)."""
