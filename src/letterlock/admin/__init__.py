"""The administration's station; so far its public listener only: the certificate authority's lists and OCSP answers.

See also
    ``public.py`` (what is served), ``http.py`` (how it is asked), ``serve.py`` (the process).
"""
