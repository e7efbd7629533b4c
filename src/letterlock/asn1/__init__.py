"""ASN.1 for CMS and certificates: a DER writer, a bounded BER reader, object identifiers (X.690)."""
