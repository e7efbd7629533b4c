"""The limits that hostile or broken mail runs into; one place.

Guarantees
    What an administrator can set is a policy setting, and the value here is its default; everything else is fixed.

Standards
    RFC 5321 4.5.3.1 (sizes) and 4.5.3.2 (time-outs), RFC 3461 4.2 and 4.4 (ORCPT, ENVID), RFC 5322 2.1.1 (lines).
"""

from __future__ import annotations

# Message structure (mail/parse.py)
MAX_DEPTH = 30
"""MIME nesting; real mail stays below ten."""
MAX_PARTS = 2_000
MAX_HEADER_OCTETS = 1 << 20
"""The header block of a message or part. Postfix's header_size_limit is 100 KB for one field."""
MAX_FIELDS = 2_000
MAX_PARAMETERS = 100
"""Parameters of one Content-Type or Content-Disposition field."""
MAX_EXPANSION = 100
"""Decoded octets per received octet."""

# SMTP, both ways
MAX_ADDRESS_OCTETS = 254
"""RFC 5321 4.5.3.1.3 allows a path of 256 octets with its angle brackets."""
MAX_DOMAIN_OCTETS = 253
MAX_ENVID_OCTETS = 100
MAX_ORCPT_OCTETS = 500
MAX_HELLO_OCTETS = 255

# SMTP server; these are the defaults of policy settings
MAX_MESSAGE_OCTETS = 25 << 20
MAX_RECIPIENTS = 1_000
MAX_HOPS = 50
MAX_LINE_OCTETS = 65_536
MAX_COMMAND_OCTETS = 4_096
"""512 by RFC 5321 4.5.3.1.4, and each extension adds to it: DSN alone 600 (RFC 3461 4.2), SMTPUTF8 doubles paths."""
MAX_ERRORS = 20
"""Refused commands in one connection since the last accepted message; then 421."""
COMMAND_SECONDS = 300
"""RFC 5321 4.5.3.2.7: a server waits at least five minutes for the next command."""

# SMTP server, fixed
MAX_IDLE_COMMANDS = 100
"""NOOP, RSET, VRFY and their like since the last accepted message; then 421."""
MAX_HELD_OCTETS = 256 << 10
"""Input kept while the answer to a message is awaited; reading pauses beyond."""
CONTENT_SECONDS = 180
"""Between two reads of content; RFC 5321 4.5.3.2.5."""
TRANSACTION_SECONDS = 3_600
"""From DATA to the last octet, however steadily it drips."""
HANDSHAKE_SECONDS = 60

# SMTP client: RFC 5321 4.5.3.2.1 to 4.5.3.2.6
CONNECT_SECONDS = 30
GREETING_SECONDS = 300
HELLO_SECONDS = 300
MAIL_SECONDS = 300
RECIPIENT_SECONDS = 300
DATA_SECONDS = 120
BLOCK_SECONDS = 180
DOT_SECONDS = 600
QUIT_SECONDS = 5
MAX_REPLY_LINE_OCTETS = 2_048
MAX_REPLY_LINES = 200
