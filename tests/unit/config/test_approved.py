"""The profile of approved algorithms: one table, the page that shows it, the settings, and what TLS is narrowed to."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import types
from pathlib import Path

import pytest

from letterlock.config import approved, approved_tls
from letterlock.config.load import ConfigInvalid, load
from letterlock.config.settings import Run, Settings
from letterlock.vault import provider
from letterlock.vault.provider import Library, ProviderMissing

ROOT = Path(__file__).resolve().parents[3]
FIPS = {"LETTERLOCK_RUN_CRYPTO_PROFILE": "fips"}


@pytest.mark.req("M2")
def test_the_page_is_the_table() -> None:
    """Copy what ``approved.page()`` returns to the end of docs/fips.md when the table changes."""
    assert (ROOT / "docs" / "fips.md").read_text(encoding="utf-8").endswith(f"\n\n{approved.page()}")


@pytest.mark.req("M2")
def test_the_page_promises_no_validation() -> None:
    text = (ROOT / "docs" / "fips.md").read_text(encoding="utf-8")
    assert "Letterlock is no validated module" in text
    assert "compliant" not in text
    assert "certified" not in text


@pytest.mark.req("M2")
def test_each_algorithm_has_one_row_and_says_what_is_gone() -> None:
    names = [(each.area, each.name) for each in approved.TABLE]
    assert len(names) == len(set(names))
    assert all(bool(each.disabled) != each.approved for each in approved.TABLE)
    assert all(any(each.name in told for told in approved.disabled()) for each in approved.TABLE if not each.approved)


@pytest.mark.req("M2")
def test_what_is_in_no_row_is_not_permitted() -> None:
    assert approved.permits("digest", "md5")
    with approved.keeping("fips"):
        assert not approved.permits("digest", "md5")
        assert not approved.permits("digest", "sha1")
        assert approved.permits("digest", "sha256")
    assert approved.kept() == "default"


@pytest.mark.req("M2")
def test_settings() -> None:
    assert load(None, {}).run.crypto_profile == "default"
    found = load(None, FIPS).run
    assert (found.crypto_profile, found.fips_provider) == ("fips", "required")
    assert load(None, {**FIPS, "LETTERLOCK_RUN_FIPS_PROVIDER": "not required"}).run.fips_provider == "not required"
    with pytest.raises(ConfigInvalid, match="one of default, fips"):
        load(None, {"LETTERLOCK_RUN_CRYPTO_PROFILE": "strict"})
    with pytest.raises(ConfigInvalid, match="crypto_profile"):
        load(None, {**FIPS, "LETTERLOCK_KEYS_ROOT": "passphrase:x"})


def _libraries(*active: bool) -> tuple[Library, ...]:
    return tuple(Library(f"use {number}", f"OpenSSL {number}", each) for number, each in enumerate(active))


@pytest.mark.req("M2")
@pytest.mark.parametrize("active", [(False, False), (True, False), (False, True)])
def test_a_provider_that_is_demanded_must_be_in_every_library(
    active: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "libraries", lambda: _libraries(*active))
    with pytest.raises(ProviderMissing) as raised:
        provider.require(Settings(run=Run(crypto_profile="fips")))
    told = raised.value.public
    assert "\n" not in told
    assert [f"OpenSSL {number}" in told for number in (0, 1)] == [not each for each in active]
    provider.require(Settings(run=Run(crypto_profile="fips", fips_provider="not required")))
    provider.require(Settings())


@pytest.mark.req("M2")
def test_a_provider_that_is_there_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "libraries", lambda: _libraries(True, True))
    provider.require(Settings(run=Run(crypto_profile="fips")))


@pytest.mark.req("M2")
def test_what_the_libraries_really_say() -> None:
    """Neither has a provider here: with the wheel, the start under fips is refused, as docs/fips.md says."""
    assert [each.active for each in provider.libraries()] == [False, False]
    assert all(each.version.startswith("OpenSSL") for each in provider.libraries())


_WORD_ALONE = """
openssl_conf = all_of_it
[all_of_it]
providers = the_providers
alg_section = the_algorithms
[the_providers]
default = the_default
[the_default]
activate = 1
[the_algorithms]
default_properties = fips=yes
"""


@pytest.mark.req("M2")
@pytest.mark.slow
def test_the_word_fips_in_a_configuration_is_no_provider(tmp_path: Path) -> None:
    """With "fips=yes" and no such provider, both OpenSSLs say that they are in FIPS mode: and can do nothing at all."""
    (tmp_path / "openssl.cnf").write_text(_WORD_ALONE)
    program = (
        "import _hashlib\nfrom cryptography.hazmat.bindings._rust import openssl\nfrom letterlock.vault import provider\n"
        "print(_hashlib.get_fips_mode(), openssl.is_fips_enabled(), *[each.active for each in provider.libraries()])"
    )
    environment = {**os.environ, "OPENSSL_CONF": str(tmp_path / "openssl.cnf")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["1", "True", "False", "False"]


@pytest.mark.req("M2")
def test_a_provider_is_believed_when_it_says_and_behaves_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stood in for: an OpenSSL that says yes and refuses ChaCha20 and MD5; without the refusals it is not believed."""
    monkeypatch.setattr(provider.openssl, "is_fips_enabled", lambda: True)
    monkeypatch.setattr(provider, "python_has_provider", lambda: True)
    assert [each.active for each in provider.libraries()] == [False, False]

    def refused(*_: object) -> None:
        raise ValueError("unsupported")

    real = provider._hashlib.new
    monkeypatch.setattr(provider, "ChaCha20Poly1305", refused)
    stand_in = types.SimpleNamespace(new=lambda name, *rest: refused() if name == "md5" else real(name, *rest))
    monkeypatch.setattr(provider, "_hashlib", stand_in)
    assert [each.active for each in provider.libraries()] == [True, True]


@pytest.mark.req("M2")
def test_tls_is_narrowed() -> None:
    for side in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER):
        with approved.keeping("fips"):
            without = approved_tls.restrict(ssl.SSLContext(side), has_provider=False)
            beside = approved_tls.restrict(ssl.SSLContext(side), has_provider=True)
        old = [each["name"] for each in without.get_ciphers() if not each["name"].startswith("TLS_")]
        assert old
        assert all("GCM" in each and each.startswith("ECDHE") for each in old)
        assert without.maximum_version == ssl.TLSVersion.TLSv1_2
        assert beside.maximum_version == ssl.TLSVersion.MAXIMUM_SUPPORTED
    untouched = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert approved_tls.restrict(untouched).maximum_version == ssl.TLSVersion.MAXIMUM_SUPPORTED
