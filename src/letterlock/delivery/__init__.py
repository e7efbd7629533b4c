"""The delivery station: finished octets go to their next hop, and what became of them is settled."""
