"""Messages and envelopes as octets: parse without changing, change without re-serialising (RFC 5321, RFC 5322)."""
