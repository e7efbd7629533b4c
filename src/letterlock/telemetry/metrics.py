"""Counters, gauges and histograms of one process, and of all processes together.

Guarantees
    A name says its kind: ``..._total`` counts, ``..._seconds`` and ``..._octets`` are histograms, what is set is a
    gauge. Snapshots are plain lists, so they travel over a pipe; snapshots of several processes add up. A name has at
    most MOST series: a label that takes too many values is left out from then on, so that nobody outside can fill our
    memory.

Standards
    Prometheus text format 0.0.4.

See also
    ``supervise/`` (collects snapshots with each heartbeat and serves /metrics); ``config.start.Meter``, which Registry
    is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
Snapshot = list[Any]
"""[name, kind, [[label, value] ...], [number ...]] for each series."""

MOST: Final = 500

SECONDS: Final = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
)
OCTETS: Final = tuple(float(1 << power) for power in range(10, 32, 2))

HELP: Final[Mapping[str, str]] = {
    "letterlock_process_ready": "1 while the process serves.",
    "letterlock_process_restarts": "How often the process was started again.",
    "letterlock_messages_accepted_total": "Messages answered with 250.",
    "letterlock_recipients_accepted_total": "Recipients of accepted messages.",
    "letterlock_accepted_octets": "Size of accepted messages.",
    "letterlock_accept_seconds": "From the end of a message to its 250.",
    "letterlock_messages_refused_total": "Messages and recipients refused, by code.",
    "letterlock_connections": "Open SMTP connections.",
    "letterlock_connections_total": "SMTP connections taken.",
    "letterlock_messages_advanced_total": "Messages worked on by flow, by their next state.",
    "letterlock_flow_seconds": "From claimed to advanced.",
    "letterlock_decisions_total": "Recipients decided on, by what was decided.",
    "letterlock_deliveries_total": "Attempts to deliver, by verdict.",
    "letterlock_delivery_seconds": "Length of an attempt to deliver.",
    "letterlock_fetched_total": "Things that were wanted from outside, by kind and answer.",
    "letterlock_fetch_seconds": "Length of an attempt to fetch.",
    "letterlock_crls_stale": "CRLs in use that are past their nextUpdate: should be 0.",
    "letterlock_keys_given_total": "Message keys given by the keyholder, by role.",
    "letterlock_signatures_total": "Signatures made by the keyholder's signers.",
    "letterlock_authority_signatures_total": "Signatures of the certificate authority, by who asked.",
}
"""What is counted; a name that is not here is still shown."""

_Series = tuple[str, tuple[tuple[str, str], ...]]


def kind_of(name: str) -> Kind:
    """What a name that is added to is: see Guarantees."""
    if name.endswith("_total"):
        return "counter"
    return "histogram" if name.endswith(("_seconds", "_octets")) else "gauge"


def _bounds(name: str) -> tuple[float, ...]:
    return OCTETS if name.endswith("_octets") else SECONDS


class Registry:
    """The metrics of one process."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}
        self._values: dict[_Series, list[float]] = {}
        self._plain: dict[str, list[float]] = {}  # those of them without labels, by name
        self._sizes: dict[str, int] = {}

    def __call__(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None, /) -> None:
        """Add ``value`` to a counter or gauge, or put it into a histogram."""
        kind = self._kinds.get(name)
        if kind is None:
            kind = self._kinds[name] = kind_of(name)
        numbers = self._numbers(name, labels, kind) if labels else self._plain.get(name)
        if numbers is None:
            numbers = self._plain[name] = self._numbers(name, None, kind)
        if kind == "histogram":
            numbers[bisect_left(_bounds(name), value)] += 1
            numbers[-1] += value
        else:
            numbers[0] += value

    def set(self, name: str, value: float, labels: Mapping[str, str] | None = None, /) -> None:
        """A gauge's value now."""
        self._kinds[name] = "gauge"
        self._numbers(name, labels, "gauge")[0] = value

    def snapshot(self) -> Snapshot:
        """All series as they are now."""
        return [
            [name, self._kinds[name], [list(pair) for pair in labels], list(numbers)]
            for (name, labels), numbers in self._values.items()
        ]

    def _numbers(self, name: str, labels: Mapping[str, str] | None, kind: Kind) -> list[float]:
        """A series' numbers: one, or for a histogram a count for each bucket, one for the rest, and the sum."""
        series = (name, tuple(sorted((key, str(value)) for key, value in labels.items())) if labels else ())
        found = self._values.get(series)
        if found is not None:
            return found
        size = self._sizes.get(name, 0)
        if size >= MOST and series[1]:
            return self._numbers(name, None, kind)
        self._sizes[name] = size + 1
        return self._values.setdefault(series, [0.0] * (len(_bounds(name)) + 2 if kind == "histogram" else 1))


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Several processes' snapshots as one: numbers of the same series added. A damaged entry is left out."""
    found: dict[_Series, tuple[Kind, list[float]]] = {}
    for snapshot in snapshots:
        for entry in snapshot:
            try:
                name, kind, labels, numbers = entry
                series = (str(name), tuple((str(key), str(value)) for key, value in labels))
                before = found.get(series)
                numbers = [float(number) for number in numbers]
            except (TypeError, ValueError):
                continue
            if before is None:
                found[series] = (kind, numbers)
            elif len(before[1]) == len(numbers) and before[0] == kind:
                found[series] = (kind, [a + b for a, b in zip(before[1], numbers, strict=True)])
    return [[name, kind, [list(pair) for pair in labels], numbers] for (name, labels), (kind, numbers) in found.items()]


def carry(snapshot: Snapshot) -> Snapshot:
    """What has to be remembered of a process that ended, so that counters never go back: all but its gauges."""
    return [entry for entry in snapshot if entry[1] != "gauge"]


def render(snapshots: Iterable[Snapshot]) -> str:
    """The text page of all these snapshots together."""
    families: dict[str, list[tuple[Kind, Sequence[Sequence[str]], list[float]]]] = {}
    for name, kind, labels, numbers in merge(snapshots):
        families.setdefault(name, []).append((kind, labels, numbers))
    lines: list[str] = []
    for name in sorted(families):
        if name in HELP:
            lines.append(f"# HELP {name} {HELP[name]}")
        lines.append(f"# TYPE {name} {families[name][0][0]}")
        for kind, labels, numbers in sorted(families[name], key=lambda one: [tuple(pair) for pair in one[1]]):
            if kind != "histogram":
                lines.append(f"{name}{_labels(labels)} {_number(numbers[0])}")
            else:
                lines += _histogram(name, labels, numbers)
    return "\n".join([*lines, ""])


def _histogram(name: str, labels: Sequence[Sequence[str]], numbers: list[float]) -> list[str]:
    """The cumulative buckets, sum and count of one histogram."""
    lines, total = [], 0.0
    for bound, count in zip([*map(_number, _bounds(name)), "+Inf"], numbers, strict=False):
        total += count
        lines.append(f"{name}_bucket{_labels([*labels, ('le', bound)])} {_number(total)}")
    return [*lines, f"{name}_sum{_labels(labels)} {numbers[-1]!r}", f"{name}_count{_labels(labels)} {_number(total)}"]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _labels(labels: Sequence[Sequence[str]]) -> str:
    if not labels:
        return ""
    told = (f'{key}="{_escaped(value)}"' for key, value in labels)
    return f"{{{','.join(told)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
