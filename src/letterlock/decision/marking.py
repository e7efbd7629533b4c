"""What a reader of incoming mail is told: subject tags and X-Letterlock-Info fields, as data.

Guarantees
    A recipient that is not entitled to the opened message is told nothing of what lies below its first encrypted layer.
    A tag says that a signature is good only when every signature found is, and each covers what it stands for.

Standards
    The field names are those of the field's reference product (behaviour 1.3, "Security info"): the level counts
    layers from the outside, beginning with 0; the index counts signers or recipients of a layer.

See also
    flow's mark, which removes what came in under these names and then writes these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from letterlock.decision.known import Layer, Opened
from letterlock.decision.plan import Marks
from letterlock.policy.effective import EffectiveSettings
from letterlock.policy.settings import tagging

PREFIX: Final = "X-Letterlock-Info-"
MAX_TOLD: Final = 20
"""Signers or recipients of a layer that get fields of their own."""

_TAGS: Final = (
    tagging.TAG_DECRYPTED,
    tagging.TAG_SIGNED_VALID,
    tagging.TAG_SIGNED_BY,
    tagging.TAG_SIGNED_INVALID,
    tagging.TAG_MIXED_CONTENT,
)


def marks(opened: Opened, settings: EffectiveSettings, *, entitled: bool) -> Marks:
    """The marks for one recipient, from its settings."""
    layers = visible(opened, entitled=entitled)
    signed = [signer for _, layer in layers if layer.kind == "signed" and layer.whole for signer in layer.signers]
    good = bool(signed) and all(signer.verdict == "ok" for signer in signed)
    own = dict.fromkeys(text for tag in _TAGS for text in (settings.value(tag), tag.default) if text)
    return Marks(
        tags=tuple(_tags(layers, settings)) if settings.value(tagging.ADD_SECURITY_INFO) else (),
        fields=tuple(_fields(layers)) if settings.value(tagging.ADD_INFO_FIELDS) else (),
        own_tags=tuple(own),
        subject_filter=settings.value(tagging.SUBJECT_FILTER),
        subject=opened.subject if good else None,
    )


def visible(opened: Opened, *, entitled: bool) -> tuple[tuple[int, Layer], ...]:
    """The layers a recipient may be told of, with their levels."""
    numbered = tuple(enumerate(opened.layers))
    if entitled:
        return numbered
    for level, layer in numbered:
        if layer.kind == "encrypted":
            return (
                *numbered[:level],
                (level, Layer("encrypted", opened=False, reason="not-for-us", cipher=layer.cipher)),
            )
    return numbered


def _tags(layers: tuple[tuple[int, Layer], ...], settings: EffectiveSettings) -> Iterable[str]:
    """The tags, in the order they stand in the subject."""
    found = [layer for _, layer in layers]
    signatures = [layer for layer in found if layer.kind == "signed" and layer.whole]
    signers = [signer for layer in signatures for signer in layer.signers]
    signed = any(layer.signers or not layer.opened for layer in signatures)  # certificates alone are no signature
    others = list(
        dict.fromkeys(a for each in signers if each.verdict == "address-mismatch" for a in each.addresses[:1])
    )
    told: list[str] = []
    if any(layer.kind == "encrypted" and layer.opened for layer in found):
        told.append(settings.value(tagging.TAG_DECRYPTED))
    if signed and all(layer.signers for layer in signatures) and all(signer.verdict == "ok" for signer in signers):
        told.append(settings.value(tagging.TAG_SIGNED_VALID))
    elif signers and others and all(signer.verdict in ("ok", "address-mismatch") for signer in signers):
        told += [settings.value(tagging.TAG_SIGNED_BY).replace(tagging.SIGNER, each) for each in others[:MAX_TOLD]]
    elif signed:
        told.append(settings.value(tagging.TAG_SIGNED_INVALID))
    if any(not layer.whole for layer in found):
        told.append(settings.value(tagging.TAG_MIXED_CONTENT))
    return (tag for tag in told if tag)


def _is_unauthenticated(level: int, layer: Layer, layers: tuple[tuple[int, Layer], ...]) -> bool:
    """Decrypted content that anybody may have changed on its way: CBC, and no good signature inside (EFAIL 4)."""
    inner = (each for number, each in layers if number > level and each.kind == "signed" and each.whole)
    return (
        layer.kind == "encrypted"
        and layer.opened
        and layer.cipher.endswith("-cbc")
        and not any(signer.verdict in ("ok", "address-mismatch") for each in inner for signer in each.signers)
    )


def _fields(layers: tuple[tuple[int, Layer], ...]) -> Iterable[tuple[str, str]]:
    """The information fields of each layer."""
    if any(layer.kind == "encrypted" and layer.whole for _, layer in layers):
        yield f"{PREFIX}SMIME-Encrypted", "True"
    if any(layer.kind == "signed" and layer.whole and (layer.signers or not layer.opened) for _, layer in layers):
        yield f"{PREFIX}SMIME-Signed", "True"
    for level, layer in layers:
        if not layer.whole:
            yield f"{PREFIX}Not-Covered-{level}", f"a part is {layer.kind}; it was left as it is"
            continue
        if _is_unauthenticated(level, layer, layers):
            yield f"{PREFIX}Encryption-Unauthenticated-{level}", "True"
        if not layer.canonical:
            yield f"{PREFIX}Signature-Not-Canonical-{level}", "True"
        if layer.kind == "encrypted":
            if layer.cipher:
                yield f"{PREFIX}Encryption-Algorithm-{level}", layer.cipher
            if layer.reason == "not-for-us":
                yield f"{PREFIX}SMIME-Decryption-Key-Not-Found-{level}", "True"
            for index, recipient in enumerate(layer.recipients[:MAX_TOLD]):
                yield f"{PREFIX}Encryption-Recipient-{index}-{level}", recipient
        for index, signer in enumerate(layer.signers[:MAX_TOLD]):
            yield f"{PREFIX}Signer-Verified-{index}-{level}", str(signer.verdict not in ("bad-signature", "malformed"))
            yield f"{PREFIX}Signer-Trusted-{index}-{level}", str(signer.verdict in ("ok", "address-mismatch"))
            if signer.verdict == "address-mismatch":
                yield f"{PREFIX}Signer-Mismatch-{index}-{level}", "True"
            if signer.verdict != "ok":
                yield (
                    f"{PREFIX}Signer-Verification-Info-{index}-{level}",
                    ", ".join(dict.fromkeys((signer.verdict, *signer.reasons))),
                )
            if signer.identifier:
                yield f"{PREFIX}Signer-ID-{index}-{level}", signer.identifier
            for address in signer.addresses[:1]:
                yield f"{PREFIX}Signer-Email-{index}-{level}", address
        if layer.weak:
            yield f"{PREFIX}Weak-{level}", "True"
