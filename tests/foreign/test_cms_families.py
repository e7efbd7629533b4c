"""Every CMS object of every family is read, or refused for a reason that is said; the table is printed at the end.

See also
    ``cms_vectors.py`` for what belongs together; ``conftest.py`` prints the table.
"""

from __future__ import annotations

import time

import pytest

from tests.foreign.cms_vectors import FAMILIES, Case, cases, read
from tests.foreign.conftest import OUTCOMES

CASES = [case for family in FAMILIES for case in cases(family)]
READ = {
    # At least so many; what else is there was made by algorithms the library lacks, for keys that are not there, or to
    # be refused.
    "rfc4134": 18,
    "openssl": 4,
    "gnupg-cms": 7,
    "libksba": 2,
    "pqc-cms": 11,
    "bc-pqc-cms": 3,
    "cms-kyber": 1,
}
MUST_BE_REFUSED = {
    "bad_authenveloped_attrs.pem": "decryption-failed",  # openssl test/recipes/80-test_cms.t: all of these must fail
    "bad_signtime_attr.cms": "malformed",
    "ct_multiple_attr.cms": "malformed",
    "no_ct_attr.cms": "malformed",
    "no_md_attr.cms": "malformed",
    "pkcs7-md4.pem": "unsupported",
    "enveloped-content-type-for-aes-gcm.pem": "unsupported",
}

if CASES:

    @pytest.mark.req("B1", "B2", "B8", "B9", "B10", "B11", "B12")
    @pytest.mark.filterwarnings("ignore:Parsed a serial number")  # of certificates from before RFC 5280
    @pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.family}/{case.name}")
    def test_read_or_refused_with_a_reason(case: Case) -> None:
        started = time.process_time()
        outcome = read(case)
        OUTCOMES.setdefault(case.family, []).append((case.name, outcome.how, outcome.why))
        assert outcome.how == "read" or outcome.why
        expected = MUST_BE_REFUSED.get(case.name.rpartition("/")[2])
        if expected:
            assert outcome.why.startswith(expected)
        assert time.process_time() - started < 2

    @pytest.mark.req("B1", "B8", "B12")
    @pytest.mark.filterwarnings("ignore:Parsed a serial number")
    @pytest.mark.parametrize("family", [family for family in FAMILIES if cases(family)])
    def test_as_many_as_can_be_are_read(family: str) -> None:
        assert sum(read(case).how == "read" for case in cases(family)) >= READ[family]

    @pytest.mark.req("B1", "B8")
    def test_the_examples_of_rfc_4134_say_what_they_should() -> None:
        sample = b"This is some sample content."
        for case in cases("rfc4134"):
            outcome = read(case)
            if case.name in ("4.3.bin", "4.11.bin", "5.2.bin"):  # detached; certificates only; RC2 with 40 bits
                continue
            assert sample in outcome.content, case.name
