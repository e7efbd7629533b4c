"""Changes octets in a way that keeps their structure: elements of BER are dropped, doubled, swapped, cut, re-encoded.

Guarantees
    Lengths above a changed element fit again, so that what is below is reached. Octets that are no BER are left alone.

See also
    ``child.py``, which lets libFuzzer's own changes and these take turns.
"""

from __future__ import annotations

import random
from typing import Final

_DEEPEST: Final = 24
_MOST: Final = 600  # elements of one tree
_TAGS: Final = (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x17, 0x18, 0x24, 0x30, 0x31, 0x80, 0x81, 0xA0, 0xA1,
                0xA2, 0xA3, 0xA4)  # fmt: skip


class Node:
    """An element: ``content`` of a primitive one, ``children`` of a constructed one. ``form``: of its length."""

    def __init__(self, tag: int, content: bytes, children: list[Node] | None, form: str = "short") -> None:
        self.tag = tag
        self.content = content
        self.children = children
        self.form = form

    def octets(self) -> bytes:
        """Its encoding."""
        inside = self.content if self.children is None else b"".join(each.octets() for each in self.children)
        if self.form == "indefinite" and self.tag & 0x20:
            return bytes((self.tag, 0x80)) + inside + b"\0\0"
        length = len(inside)
        if self.form == "long":
            return bytes((self.tag, 0x84)) + length.to_bytes(4, "big") + inside
        if length < 0x80:
            return bytes((self.tag, length)) + inside
        size = (length.bit_length() + 7) // 8
        return bytes((self.tag, 0x80 | size)) + length.to_bytes(size, "big") + inside


def tree(octets: bytes, depth: int = 0, budget: list[int] | None = None) -> list[Node] | None:
    """The elements of ``octets``; None when they are no definite BER, or more than are worth it."""
    left = budget if budget is not None else [_MOST]
    found: list[Node] = []
    at = 0
    while at < len(octets):
        left[0] -= 1
        if left[0] < 0 or len(octets) - at < 2:
            return None
        tag, length = octets[at], octets[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4:
                return None
            length = int.from_bytes(octets[at : at + size], "big")
            at += size
        content = octets[at : at + length]
        if len(content) != length or tag & 0x1F == 0x1F or tag == 0:
            return None
        at += length
        children = tree(content, depth + 1, left) if tag & 0x20 and depth < _DEEPEST else None
        if children is None and tag in (3, 4) and length > 8 and depth < _DEEPEST:  # extensions stand inside strings
            inner = content[1:] if tag == 3 else content
            nested = tree(inner, depth + 1, [min(left[0], 60)]) if inner[:1] == b"\x30" else None
            if nested is not None:
                children = nested if tag == 4 else [_Raw(content[:1]), *nested]
        found.append(Node(tag, content, children))
    return found


class _Raw(Node):
    """Octets without a header: the count of unused bits in a BIT STRING."""

    def __init__(self, content: bytes) -> None:
        super().__init__(3, content, None)

    def octets(self) -> bytes:
        return self.content


def _all(nodes: list[Node]) -> list[tuple[list[Node], int]]:
    found: list[tuple[list[Node], int]] = []
    stack = [nodes]
    while stack:
        level = stack.pop()
        for number, node in enumerate(level):
            found.append((level, number))
            if node.children:
                stack.append(node.children)
    return found


def changed(octets: bytes, seed: int) -> bytes | None:
    """``octets`` with one to three elements changed; None when they are no BER."""
    nodes = tree(octets)
    if not nodes:
        return None
    chance = random.Random(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        places = _all(nodes)
        if not places:
            break
        level, number = chance.choice(places)
        if number < len(level):
            _change(level, number, places, chance)
    return b"".join(each.octets() for each in nodes)


def _change(level: list[Node], number: int, places: list[tuple[list[Node], int]], chance: random.Random) -> None:
    node = level[number]
    other_level, other = chance.choice(places)
    stranger = other_level[other] if other < len(other_level) else node
    what = chance.randrange(10)
    if what == 0:
        del level[number]
    elif what == 1:
        level.insert(number, _copy(node))
    elif what == 2:
        level[number] = _copy(stranger)
    elif what == 3:
        level[number] = Node(chance.choice(_TAGS), node.content, None if node.children is None else list(node.children))
    elif what == 4:
        level[number] = Node(node.tag, node.content, node.children, chance.choice(("long", "indefinite")))
    elif what == 5 and node.children is None:
        cut = chance.randrange(len(node.content) + 1)
        level[number] = Node(node.tag, node.content[:cut], None)
    elif what == 6 and node.children is None:
        level[number] = _in_pieces(node, chance)
    elif what == 7:
        level[number] = Node(chance.choice((0x30, 0xA0, 0x31, 0x24)), b"", [node])
    else:
        content = bytearray(node.content or b"\0")
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        level[number] = Node(node.tag, bytes(content), None)


def _copy(node: Node) -> Node:
    if isinstance(node, _Raw):
        return _Raw(node.content)
    children = None if node.children is None else [_copy(each) for each in node.children]
    return Node(node.tag, node.content, children, node.form)


def _in_pieces(node: Node, chance: random.Random) -> Node:
    """A string in constructed form."""
    size = chance.choice((1, 3, 16, 100))
    if len(node.content) > 40 * size:
        size = len(node.content) // 40 + 1
    parts = [Node(4, node.content[at : at + size], None) for at in range(0, len(node.content), size)]
    return Node(node.tag | 0x20, b"", parts, chance.choice(("short", "indefinite")))
