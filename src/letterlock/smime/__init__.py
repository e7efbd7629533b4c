"""S/MIME: sign, encrypt, decrypt, verify, and take layers off (RFC 8551, RFC 5652, RFC 5083, RFC 5753, RFC 4056)."""
