"""The SMTP station: takes mail in, seals it, and answers 250 when the queue has it."""
