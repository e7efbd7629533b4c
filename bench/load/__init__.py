"""The parts of smtpload: what is sent, who sends it, who takes it, and what the machine did meanwhile."""
