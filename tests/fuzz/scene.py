"""The people, keys and messages that the targets know: made once for a run, kept in its folder, so that findings replay.

Guarantees
    What these people signed and sealed is in ``SIGNED``; whatever else a reader takes for theirs is a fault.

See also
    ``tests/fakes/people.py``, ``tests/fakes/own_keys.py``.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from letterlock.smime.capabilities import EncryptionPolicy, group_recipients
from letterlock.smime.cms_write import certificates_only
from letterlock.smime.compress import compress
from letterlock.smime.encrypt import enveloped
from letterlock.smime.mime import multipart_signed, to_mime
from letterlock.smime.party import load_party
from letterlock.smime.sign import opaque, prepare_signature
from tests.fakes.authority import Authority, Identity, KeyKind
from tests.fakes.own_keys import KeyInMemory, Keys
from tests.fakes.people import SIGNED_AT

ENTITY: Final = b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>the canary sings in clear</p>\r\n"
CANARY: Final = b"the canary sings in clear"
HEAD: Final = b"From: Alice <alice@example.org>\r\nTo: bob@example.net\r\nSubject: =?utf-8?q?s=C3=BC?=\r\n"
PROTECTED: Final = b'Content-Type: text/plain; hp="cipher"\r\n' + HEAD + b"HP-Outer: Subject: [...]\r\n\r\nhi\r\n"
SIGNED: Final = (ENTITY, PROTECTED)
"""All that anybody here signed."""
_PEOPLE: Final[dict[str, KeyKind]] = {
    "alice": "p256", "ann": "rsa2048", "bob": "p256", "rob": "rsa2048", "kim": "ml-kem-768", "xena": "x25519",
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """``alice`` and ``ann`` sign, the others read; ``issuer`` is the anchor of all."""

    issuer: Authority
    alice: Identity
    ann: Identity
    bob: Identity
    rob: Identity
    kim: Identity
    xena: Identity

    @property
    def keys(self) -> Keys:
        """The keys of those who read."""
        return Keys(self.bob, self.rob, self.kim, self.xena)


def load(folder: Path) -> Scene:
    """The scene of this folder, made when it has none."""
    if not (folder / "issuer.key").exists():
        issuer = Authority.create()
        made = {name: issuer.issue(f"{name}@example.org", kind) for name, kind in _PEOPLE.items()}
        for name, each in {**made, "issuer": Identity(issuer.certificate, issuer.key)}.items():
            (folder / f"{name}.crt").write_bytes(each.pem)
            (folder / f"{name}.key").write_bytes(each.key_pem)
    issuer_self, *people = (_person(folder, name) for name in ("issuer", *_PEOPLE))
    return Scene(Authority(issuer_self.certificate, issuer_self.key), *people)


def _person(folder: Path, name: str) -> Identity:
    key: Any = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    return Identity(x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes()), key)


def now(waiting: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never really waits."""
    try:
        waiting.send(None)
    except StopIteration as done:
        return done.value
    finally:
        waiting.close()
    raise AssertionError("it waits")


def detached(entity: bytes, who: Identity, algorithm: str = "") -> bytes:
    """A signature over the entity, DER."""
    pending = prepare_signature([entity], load_party(who.der), (), SIGNED_AT, algorithm=algorithm)
    return pending.finish(KeyInMemory(who).sign_now(pending.tbs, pending.algorithm))


def clear(entity: bytes, who: Identity) -> bytes:
    """multipart/signed around the entity."""
    pending = prepare_signature([entity], load_party(who.der), (), SIGNED_AT)
    return b"".join(
        multipart_signed([entity], pending, pending.finish(KeyInMemory(who).sign_now(pending.tbs, pending.algorithm)))
    )


def inside(entity: bytes, who: Identity) -> bytes:
    """Signed data with the entity inside, DER."""
    pending = prepare_signature([entity], load_party(who.der), (), SIGNED_AT)
    done = pending.signed(KeyInMemory(who).sign_now(pending.tbs, pending.algorithm))
    return b"".join(opaque([entity], len(entity), [done]))


def sealed(entity: bytes, to: Sequence[Identity], cipher: str = "auto") -> bytes:
    """Enveloped data, DER; each family of keys on its own."""
    (group,) = group_recipients([load_party(each.der) for each in to], EncryptionPolicy(cipher))
    return b"".join(enveloped([entity], len(entity), group))


def binary(cms: bytes, kind: str = "enveloped-data") -> bytes:
    """A message of that CMS object in transfer encoding binary, which keeps its octets in reach of small changes."""
    return (
        HEAD + b"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=%b\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\n%b" % (kind.encode(), cms)
    )


def objects(scene: Scene) -> list[bytes]:
    """CMS objects of every kind, DER."""
    made = [detached(ENTITY, each) for each in (scene.alice, scene.ann)]
    made.append(detached(ENTITY, scene.ann, "rsa-pss-sha256"))
    made += [inside(ENTITY, each) for each in (scene.alice, scene.ann)]
    readers = (scene.bob, scene.rob, scene.kim, scene.xena)
    made += [sealed(ENTITY, [each], how) for each in readers for how in ("aes256-cbc", "aes256-gcm")]
    made.append(b"".join(compress([ENTITY])))
    made.append(certificates_only([scene.alice.der, scene.issuer.der]))
    return made


def messages(scene: Scene) -> list[bytes]:
    """Messages of every kind."""
    made = [HEAD + clear(ENTITY, each) for each in (scene.alice, scene.ann)]
    made += [binary(each) for each in objects(scene)[3:]]
    made.append(binary(sealed(clear(ENTITY, scene.alice), [scene.bob], "aes256-gcm")))
    made.append(HEAD + b"".join(to_mime([objects(scene)[5]], "enveloped-data")))
    made += [HEAD + clear(PROTECTED, scene.alice), binary(sealed(PROTECTED, [scene.bob], "aes256-gcm"))]
    return made
