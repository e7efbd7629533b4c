"""What shall be done with a message: decided purely, from facts read before, and explained."""
