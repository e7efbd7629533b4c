"""SMTP without input or output: the grammar, the server's and the client's protocol; octets go in, octets come out."""
