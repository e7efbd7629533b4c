"""Another program reads the winmail.dat of our tests as we do, so that they are not made of our own belief."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from letterlock.mail.tnef import read
from tests.fakes import tnef


@pytest.mark.req("B14")
@pytest.mark.peer
def test_tnef_finds_the_same_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 300
    octets = tnef.wrapping(content)
    subprocess.run(["tnef", "--directory", str(tmp_path)], input=octets, check=True, capture_output=True)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"smime.p7m": content}
    assert [bytes(each.data or b"") for each in read(octets).attachments] == [content]
