"""CompressedData written.

Guarantees
    DER with definite lengths. The compressed octets are held, for their number stands before them; never the content.

Standards
    RFC 3274 1.1 and 2 (zlib), RFC 8551 3.6 (compression before or after signing).

See also
    ``decompress.py`` reads.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from letterlock.mail.message import Buffer
from letterlock.smime.cms_write import compressed_data


def compress(content: Iterable[Buffer]) -> Iterator[bytes]:
    """CompressedData around ``content``, DER, piece by piece; what is compressed is held, for its length comes first."""
    deflating = zlib.compressobj()
    held = [deflating.compress(part) for part in content]
    held.append(deflating.flush())
    yield compressed_data(sum(map(len, held)))
    yield from held
