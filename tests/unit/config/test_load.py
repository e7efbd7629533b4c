"""letterlock.toml and the environment: every fault at once, no secret in any sentence; the pages are generated."""

from __future__ import annotations

from pathlib import Path

import pytest

from letterlock.config import sample
from letterlock.config.load import ConfigInvalid, load, sections, variable
from letterlock.config.settings import Listen, Settings


def written(folder: Path, text: str) -> Path:
    path = folder / "letterlock.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(path: Path | None, environment: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigInvalid) as raised:
        load(path, environment)
    return raised.value.faults


def test_defaults() -> None:
    assert load(None, {"PATH": "/bin", "LETTERLOCK_PG_BIN": "/x", "LETTERLOCK_STATE": "/y"}) == Settings()


def test_the_sample_gives_the_defaults(tmp_path: Path) -> None:
    assert load(written(tmp_path, sample.sample()), {}) == Settings()


def test_the_sample_with_values(tmp_path: Path) -> None:
    text = sample.sample({"smtp": {"hostname": 'a"b\\c', "processes": 2}, "http": {"status": Listen("::1", 9)}})
    found = load(written(tmp_path, text), {})
    assert (found.smtp.hostname, found.smtp.processes, found.http.status) == ('a"b\\c', 2, Listen("::1", 9))


def test_the_file_then_the_environment_then_a_secret_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[smtp]\nlisten = ["0.0.0.0:25", "[::]:25"]\nhostname = "file.example"\n[run]\nlog = "debug"\n[http]\nportal = ""\n',
    )
    (tmp_path / "url").write_text("postgresql://ll:secret@db/ll\n")
    found = load(
        path,
        {
            "LETTERLOCK_SMTP_HOSTNAME": "environment.example",
            "LETTERLOCK_SMTP_TLS_LISTEN": "*:465, [::1]:466",
            "LETTERLOCK_SMTP_CERTIFICATE": "x.pem",
            "LETTERLOCK_DATABASE_URL_FILE": str(tmp_path / "url"),
        },
    )
    assert found.smtp.listen == (Listen("0.0.0.0", 25), Listen("::", 25))
    assert found.smtp.hostname == "environment.example"
    assert found.database.url == "postgresql://ll:secret@db/ll"
    assert "secret" not in repr(found)
    assert found.run.log == "debug"


def test_certificate_for_tls(tmp_path: Path) -> None:
    given = {"LETTERLOCK_SMTP_TLS_LISTEN": "*:465"}
    assert faults(None, given) == ("tls_listen in [smtp] needs a certificate.",)
    load(None, {**given, "LETTERLOCK_SMTP_CERTIFICATE": "x.pem"})


def test_short_name_of_the_database() -> None:
    assert load(None, {"LETTERLOCK_DATABASE": "postgresql://db/ll"}).database.url == "postgresql://db/ll"


def test_every_fault_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[smtp]\nlisten = 25\nprocesses = 0\nport = 25\n[mail]\nx = 1\n[run]\nlog = "loud"\n[keys]\nroot = "secret"\n',
    )
    environment = {
        "LETTERLOCK_HTTP_STATUS": "8025",
        "LETTERLOCK_HTTP_PORT": "1",
        "LETTERLOCK_DATABASE_URL": "mysql://u:secret@h",
        "LETTERLOCK_RUN_USER_FILE": "/does/not/exist",
    }
    found = faults(path, environment)
    assert sorted(found) == sorted(
        [
            "port in [smtp] of " + str(path) + " is not a setting; there are listen, tls_listen, hostname, certificate,"
            " key, client_ca, processes.",
            f"[mail] in {path} is not a section; there are smtp, reinject, http, database, keys, pkcs11, fetch, run.",
            "LETTERLOCK_HTTP_PORT in the environment is not a setting.",
            "listen in [smtp] must be a list of addresses with ports.",
            "processes in [smtp] must be a whole number from 1 to 64.",
            "LETTERLOCK_HTTP_STATUS must be an address with a port such as 127.0.0.1:10025 or [::1]:10025.",
            "The file that LETTERLOCK_RUN_USER_FILE names cannot be read.",
            "log in [run] must be one of debug, info, warning, error.",
            "url in [database] must begin with postgresql://.",
            "root in [keys] must be file:PATH, passphrase:PATH or credential:NAME.",
        ]
    )
    assert all("secret" not in each for each in found)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[smtp\n", "is not TOML"),
        ("smtp = 1\n", "is a section: write [smtp]"),
        ("\x00", "is not TOML"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, fault: str) -> None:
    assert fault in faults(written(tmp_path, text), {})[0]


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    assert "cannot be read" in faults(tmp_path / "none.toml", {})[0]


def test_the_same_address_twice() -> None:
    assert faults(None, {"LETTERLOCK_HTTP_STATUS": "127.0.0.1:10025"}) == ("127.0.0.1:10025 is listened on twice.",)


@pytest.mark.parametrize("value", ["", ":25", "::1:25", "host", "host:0", "host:65536", "ho st:25", "host:²"])
def test_bad_addresses(value: str) -> None:
    assert faults(None, {"LETTERLOCK_HTTP_STATUS": value})


def test_every_key_has_its_line_and_its_variable() -> None:
    for name, (_, keys) in sections().items():
        for key, declared in keys.items():
            assert declared.doc.endswith(".")
            assert variable(name, key) in sample.reference()
            assert declared.doc in sample.sample()


def test_the_committed_page_is_the_generated_one() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"
    assert page.read_text(encoding="utf-8") == sample.reference()
