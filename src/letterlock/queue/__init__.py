"""The durable queue: what is accepted, what waits, what was done with it."""
