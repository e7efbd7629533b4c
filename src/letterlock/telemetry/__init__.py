"""What the operator sees: events as log lines, metrics, health. No field of it can hold content or keys."""
