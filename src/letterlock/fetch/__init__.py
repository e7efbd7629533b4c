"""The fetch station: brings CRLs, OCSP answers and certificates from outside; holds no key and judges nothing."""
