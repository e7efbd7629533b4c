"""The whole product over real sockets on loopback: one file a story."""
