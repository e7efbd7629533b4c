"""The certificate authority: profiles, issuing, revoking, publishing, requests, bulk, hand-over.

Guarantees
    No private key is here: what is to be signed is put together here (``tbs.py``), ordered in the database, and signed
    by the keyholder's signers after they checked it (``keyholder/certify.py``).

See also
    ``issue.py`` (the middle of it), ``publish.py``, ``request.py``, ``pending.py``; ``cli/ca.py``.
"""
