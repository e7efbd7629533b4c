"""A PKCS #11 token: one module, one token in it, one session that is kept open.

States
    closed    no session; the next use loads the module (C_Initialize), finds the token and logs in
    open      a session with the token; objects of keys are remembered by their URI
    resting   a use failed twice: until RESTS_FOR has passed, every use is answered TokenAway at once
    barred    the token refused the PIN: nothing asks it again, since a few wrong PINs lock a token for good

Guarantees
    Nothing is loaded before the first use: a process that forks must not have initialised a module (PKCS #11 3.1, 5.4:
    after fork a child calls C_Initialize itself), so only signers use a Token, after they were forked.
    A use that fails is tried once more with a new session; so a token that was away and is back needs no restart. What
    failed is never told: not the code, which may depend on a ciphertext, only that the token does not answer.
    Keys made here are sensitive and cannot be extracted; the token's own CKA_ID and label name them.

Standards
    PKCS #11 3.1 5 (functions), 4.9 (private keys), RFC 7512 (URIs).

Raises
    TokenAway, PinRefused (both temporary), TokenRefused.

See also
    ``hsm_keys.py`` (the keys), ``pkcs11_uri.py``; docs/decisions/0017-pkcs11.md.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import pkcs11
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, TokenFlag

from letterlock.asn1 import oid
from letterlock.pki.errors import PinRefused, TokenAway, TokenRefused
from letterlock.pki.hsm_keys import TokenEcKey, TokenRsaKey, Use
from letterlock.pki.pkcs11_uri import TokenUri

RESTS_FOR: Final = 1.0
"""Seconds after a failure in which the token is left alone."""

RSA_BITS: Final = {"rsa-2048": 2048, "rsa-3072": 3072, "rsa-4096": 4096}
CURVES: Final[dict[str, tuple[str, type[ec.EllipticCurve]]]] = {
    "ec-p256": ("1.2.840.10045.3.1.7", ec.SECP256R1),
    "ec-p384": ("1.3.132.0.34", ec.SECP384R1),
    "ec-p521": ("1.3.132.0.35", ec.SECP521R1),
}
"""RFC 5480 2.1.1.1."""

TokenKey = TokenRsaKey | TokenEcKey

_UNABLE: Final = (
    pkcs11.MechanismInvalid,
    pkcs11.MechanismParamInvalid,
    pkcs11.FunctionNotSupported,
    pkcs11.ArgumentsBad,
    pkcs11.KeySizeRange,
    pkcs11.KeyTypeInconsistent,
    pkcs11.TemplateInconsistent,
    pkcs11.AttributeTypeInvalid,
    pkcs11.AttributeValueInvalid,
    AttributeError,
)
"""What a token says of a use that it never does; none of these depends on what is decrypted. AttributeError: the library
gives the object of a key that may not sign no method for it."""

_PIN: Final = (pkcs11.PinIncorrect, pkcs11.PinLenRange, pkcs11.PinInvalid, pkcs11.PinExpired, pkcs11.PinLocked)


class Held(NamedTuple):
    """A private key on the token. ``spki``: DER, empty when the token does not say it."""

    uri: TokenUri
    algorithm: str
    spki: bytes


class Token:
    """One token. ``uri``: which one of the module's."""

    def __init__(self, module: str, uri: TokenUri, pin: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._module = module
        self._uri = uri
        self._pin = pin
        self._clock = clock
        self._library: Any = None
        self._session: Any = None
        self._place: TokenUri = uri
        self._mechanisms: frozenset[Any] = frozenset()
        self._objects: dict[TokenUri, Any] = {}
        self._rests_until = 0.0
        self._barred = False

    def __repr__(self) -> str:
        return "Token()"

    def key(self, uri: TokenUri, spki: bytes) -> TokenKey:
        """The key, which need not be reachable now. Raises TokenRefused for another kind of key than RSA and EC."""
        public = load_der_public_key(spki)
        if isinstance(public, rsa.RSAPublicKey):
            return TokenRsaKey(self._use_of(uri), public, bare=self._does_bare_rsa)
        if isinstance(public, ec.EllipticCurvePublicKey):
            return TokenEcKey(self._use_of(uri), public)
        raise TokenRefused

    def make(self, algorithm: str, identity: bytes) -> Held:
        """A new key pair on the token. ``identity``: its CKA_ID. Raises TokenAway, TokenRefused."""
        if algorithm not in RSA_BITS and algorithm not in CURVES:
            raise TokenRefused(f"Keys on a token are made of the kinds {', '.join([*RSA_BITS, *CURVES])}.")
        label = f"letterlock-{identity.hex()}"

        def make(session: Any) -> tuple[Any, Any]:
            secret = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
            told = {"id": identity, "label": label, "store": True, "private_template": secret}
            if algorithm in RSA_BITS:
                allowed = MechanismFlag.SIGN | MechanismFlag.VERIFY | MechanismFlag.DECRYPT | MechanismFlag.ENCRYPT
                pair = session.generate_keypair(KeyType.RSA, RSA_BITS[algorithm], capabilities=allowed, **told)
            else:
                curve = {Attribute.EC_PARAMS: oid.encode(CURVES[algorithm][0])}
                domain = session.create_domain_parameters(KeyType.EC, curve, local=True)
                pair = domain.generate_keypair(capabilities=MechanismFlag.SIGN | MechanismFlag.DERIVE, **told)
            return pair[0], pair[1]

        public, _ = self.use(make)
        return Held(self._place._replace(object=label, id=identity), algorithm, self.use(lambda _: _spki(public)))

    def held(self) -> list[Held]:
        """Every private key of RSA or a curve. Raises TokenAway."""
        return self._look({})

    def find(self, uri: TokenUri, spki: bytes = b"") -> Held:
        """The one key that ``uri`` names, proved to belong to its public key. Raises TokenAway, TokenRefused.

        ``spki``: its public key, for a token that does not know it; one that does must say the same.
        """
        found = self._look(_template(uri))
        if len(found) != 1:
            raise TokenRefused("There is no such key on the token, or more than one; name it by its id.")
        held: Held = found[0]._replace(spki=found[0].spki or spki)
        if spki and held.spki != spki:
            raise TokenRefused("The key on the token belongs to another public key.")
        if not held.spki:
            raise TokenRefused("The token does not know the public key; give its certificate.")
        _prove(self.key(held.uri, held.spki))
        return held

    def _look(self, wanted: dict[Any, Any]) -> list[Held]:
        """The private keys with these attributes."""

        def look(session: Any) -> list[Held | None]:
            return [self._held(session, each) for each in _search(session, wanted)]

        found = self.use(look)
        if not found:  # a token that was pulled may still answer, with nothing on it; a new session tells
            self.close()
            found = self.use(look)
        return [each for each in found if each is not None]

    def destroy(self, uri: TokenUri) -> None:
        """Remove a key pair from the token. Raises TokenAway."""

        def remove(session: Any) -> None:
            for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
                for each in _search(session, {Attribute.ID: uri.id}, kind):
                    each.destroy()

        self.use(remove)

    def use(self, do: Callable[[Any], Any]) -> Any:
        """What ``do`` makes of the session; it is called again with a new one when it failed. Raises, see above."""
        if self._barred:
            raise PinRefused
        if self._clock() < self._rests_until:
            raise TokenAway
        for last in (False, True):
            try:
                return do(self._opened())
            except _PIN as error:
                self._barred = True
                raise PinRefused(detail=type(error).__name__) from None
            except _UNABLE as error:
                raise TokenRefused(detail=type(error).__name__) from None
            except (pkcs11.PKCS11Error, TokenAway) as error:
                self.close()
                if last:
                    self._rests_until = self._clock() + RESTS_FOR
                    raise TokenAway(detail=type(error).__name__) from None
        raise AssertionError

    def _does_bare_rsa(self) -> bool:
        return bool(self.use(lambda _: Mechanism.RSA_X_509 in self._mechanisms))

    def _use_of(self, uri: TokenUri) -> Use:
        def use(do: Callable[[Any], Any]) -> Any:
            return self.use(lambda session: do(self._object(session, uri)))

        return use

    def _object(self, session: Any, uri: TokenUri) -> Any:
        known = self._objects.get(uri)
        if known is None:
            found = _search(session, _template(uri))
            if len(found) != 1:  # as in _look
                raise TokenAway("The PKCS #11 token does not hold the key now; it is used again when it does.")
            known = self._objects[uri] = found[0]
        return known

    def _held(self, session: Any, key: Any) -> Held | None:
        uri = self._place._replace(object=_text(key, Attribute.LABEL), id=bytes(key[Attribute.ID]))
        public = _search(session, {Attribute.ID: key[Attribute.ID]}, ObjectClass.PUBLIC_KEY)
        if key.key_type == KeyType.RSA:
            spki = b""
            with contextlib.suppress(pkcs11.AttributeTypeInvalid):  # some tokens know no exponent of a private key
                spki = _spki(public[0] if public else key)
            return Held(uri, f"rsa-{len(key[Attribute.MODULUS]) * 8}", spki)
        if key.key_type == KeyType.EC:
            named = bytes(key[Attribute.EC_PARAMS])
            for name, (number, _) in CURVES.items():
                if oid.encode(number) == named:
                    return Held(uri, name, _spki(public[0]) if public else b"")
        return None

    def _opened(self) -> Any:
        if self._session is None:
            self._library = pkcs11.lib(self._module)
            found = [each for each in _tokens(self._library) if _matches(each, self._uri)]
            if len(found) != 1:
                raise TokenAway("The PKCS #11 module shows no such token, or more than one ([pkcs11] token).")
            token = found[0]
            if TokenFlag.USER_PIN_FINAL_TRY in token.flags or TokenFlag.USER_PIN_LOCKED in token.flags:
                raise pkcs11.PinLocked
            self._mechanisms = frozenset(token.slot.get_mechanisms())
            self._place = TokenUri(token=token.label, serial=_serial(token))
            self._session = token.open(rw=True, user_pin=self._pin or None)
        return self._session

    def close(self) -> None:
        """End the session and the module's work (C_Finalize); the next use begins anew."""
        self._objects.clear()
        session, self._session = self._session, None
        with contextlib.suppress(Exception):
            if session is not None:
                session.close()
        del session
        with contextlib.suppress(Exception):
            if self._library is not None and self._library.initialized:
                self._library.finalize()


def _tokens(library: Any) -> list[Any]:
    found = []
    for slot in library.get_slots(token_present=True):
        with contextlib.suppress(pkcs11.PKCS11Error):  # another slot's token may be broken or unknown to the module
            found.append(slot.get_token())
    return found


def _serial(token: Any) -> str:
    return bytes(token.serial).decode("utf-8", "replace").strip()


def _matches(token: Any, uri: TokenUri) -> bool:
    """RFC 7512 2.5."""
    told = (
        (uri.token, token.label),
        (uri.serial, _serial(token)),
        (uri.manufacturer, str(token.manufacturer_id).strip()),
        (uri.model, str(token.model).strip()),
    )
    return all(wanted in ("", found) for wanted, found in told)


def _template(uri: TokenUri) -> dict[Any, Any]:
    wanted: dict[Any, Any] = {}
    if uri.id:
        wanted[Attribute.ID] = uri.id
    elif uri.object:  # a label may be changed; where there is an id, it is what counts
        wanted[Attribute.LABEL] = uri.object
    if not wanted:
        raise TokenRefused("Name the key by its id or its label.")
    return wanted


def _search(session: Any, wanted: dict[Any, Any], kind: ObjectClass = ObjectClass.PRIVATE_KEY) -> Sequence[Any]:
    return list(session.get_objects({Attribute.CLASS: kind, **wanted}))


def _text(key: Any, attribute: Attribute) -> str:
    return str(key[attribute] or "")


def _spki(key: Any) -> bytes:
    """SubjectPublicKeyInfo of a public key, or of an RSA private key, which knows both its numbers."""
    public: Any
    if key.key_type == KeyType.RSA:
        exponent, modulus = (int.from_bytes(key[each]) for each in (Attribute.PUBLIC_EXPONENT, Attribute.MODULUS))
        public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    else:
        curve = next(kind for number, kind in CURVES.values() if oid.encode(number) == bytes(key[Attribute.EC_PARAMS]))
        # PKCS #11 3.1 6.3.3: CKA_EC_POINT is a DER OCTET STRING of the point; some tokens answer the bare point
        told = bytes(key[Attribute.EC_POINT])
        size = 1 + 2 * ((curve().key_size + 7) // 8)
        public = ec.EllipticCurvePublicKey.from_encoded_point(curve(), told[-size:])
    octets: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return octets


def _prove(key: TokenKey) -> None:
    """Return when the key does what its public key says. Raises TokenRefused, TokenAway."""
    octets = os.urandom(32)
    try:
        try:
            if isinstance(key, TokenRsaKey):
                scheme, digest = padding.PKCS1v15(), hashes.SHA256()
                key.public_key().verify(key.sign(octets, scheme, digest), octets, scheme, digest)
            else:
                how = ec.ECDSA(hashes.SHA256())
                key.public_key().verify(key.sign(octets, how), octets, how)
        except TokenRefused:  # it only decrypts, or only agrees
            _prove_decryption(key, octets)
    except InvalidSignature:
        raise TokenRefused("The key on the token belongs to another public key.") from None


def _prove_decryption(key: TokenKey, octets: bytes) -> None:
    if isinstance(key, TokenRsaKey):
        found = key.decrypt(key.public_key().encrypt(octets, padding.PKCS1v15()), padding.PKCS1v15())
        expected = octets
    else:
        other = ec.generate_private_key(key.curve)
        found, expected = key.exchange(ec.ECDH(), other.public_key()), other.exchange(ec.ECDH(), key.public_key())
    if found != expected:
        raise InvalidSignature
