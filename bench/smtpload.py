"""Load an SMTP store-and-forward filter, take its output, account for every message; one JSON object is printed.

Order
    The sink process listens; the sender process sends ``--count`` messages to ``--port``; the parent watches the
    filter's processes (``--pid``, ``--pidfile`` or ``--cgroup``) until every accepted message
    has come or ``--drain`` is over.

Guarantees
    Exit 0 only if all were accepted, none lost, none duplicated (ambiguous ones excepted), every arrival had an id.
    ``other_cpu_s`` is what the rest of the machine used meanwhile: throw a run away when it is large.

See also
    ``bench/README.md`` for every figure; ``load/`` for the parts; ``throughput.py`` for rounds beside the peers.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from load import corpus, processes
from load.sender import Sender
from load.sink import Sink


def arguments() -> argparse.ArgumentParser:
    """Every option with its default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, required=True, help="the filter's SMTP port")
    add("--sink-host", default="127.0.0.1")
    add("--sink-port", type=int, required=True)
    add("--kind", default="text10k", choices=[*corpus.SIZES, *corpus.MIXES])
    add("--count", type=int, default=1000)
    add("--connections", type=int, default=8)
    add("--msgs-per-conn", type=int, default=0, help="0: keep open")
    add("--rate", type=float, default=0, help="open loop, messages/s; latency counts from the due time")
    add("--seed", type=int, default=1)
    add("--variants", type=int, default=0)
    add("--sender", default="alice@sender.test")
    add("--rcpt", default="bob@rcpt.test", help="comma list")
    add("--verp", action="store_true", help="put the id in the envelope sender as well")
    add("--retries", type=int, default=20)
    add("--timeout", type=float, default=50, help="sending limit, s")
    add("--drain", type=float, default=50, help="limit for the rest to arrive, s")
    add("--settle", type=float, default=0.3)
    add("--pid", action="append", type=int, default=[])
    add("--pidfile", action="append", default=[])
    add("--cgroup", help="cgroup v2 directory of the filter (exact CPU, memory)")
    add("--sink-tempfail", type=float, default=0, help="share of ids that get one 451")
    add("--sink-drop", type=float, default=0, help="share of messages whose reply is never sent")
    add("--sink-delay", type=float, default=0, help="ms per reply")
    add("--digest", action="store_true", help="compare the octets of duplicates")
    add("--save", type=int, default=0)
    add("--save-dir")
    add("--at", action="append", default=[], metavar="SECONDS:COMMAND", help="run a command during the load")
    add("--direct", action="store_true", help="own ceiling: send straight into the own sink")
    add("--accept-only", action="store_true", help="the server discards: measure the receiving side only")
    add("--label", default="")
    return parser


class Watch:
    """The filter's CPU and memory from start to end."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.roots = options.pid + [int(Path(file).read_text().strip()) for file in options.pidfile]
        self.cgroup = processes.Cgroup(options.cgroup) if options.cgroup else None
        self.known = bool(self.roots or self.cgroup)
        self.peak_rss = self.peak_pss = self.peak_cgroup = 0
        self.idle_rss = processes.resident_octets(processes.tree(self.roots))
        self.cpu_before = self._cpu()
        self.busy_before, self.stolen_before = processes.machine_busy()
        self.looks = 0

    def _cpu(self) -> float:
        return self.cgroup.cpu_seconds() if self.cgroup else processes.cpu_seconds(processes.tree(self.roots))

    def look(self) -> None:
        """Called every 20 ms; samples now and then."""
        self.looks += 1
        if self.looks % 4 == 0 and self.roots:
            found = processes.tree(self.roots)
            self.peak_rss = max(self.peak_rss, processes.resident_octets(found))
            if self.looks % 20 == 0:
                self.peak_pss = max(self.peak_pss, processes.proportional_octets(found))
        if self.cgroup and self.looks % 4 == 0:
            self.peak_cgroup = max(self.peak_cgroup, self.cgroup.memory_octets())

    def end(self) -> tuple[float, float, float]:
        """(CPU seconds of the filter, of the whole machine, stolen from the machine)."""
        cpu = self._cpu() - self.cpu_before
        busy, stolen = processes.machine_busy()
        if self.roots:
            self.peak_pss = max(self.peak_pss, processes.proportional_octets(processes.tree(self.roots)))
        return cpu, busy - self.busy_before, stolen - self.stolen_before


def _sink(options: argparse.Namespace, run: bytes, count: Any, ready: Any, stop: Any, answer: Any) -> None:
    answer.put(Sink(options, run, count).serve(ready, stop))


def _send(options: argparse.Namespace, run: bytes, answer: Any) -> None:
    answer.put(Sender(options, run).run())


def load(
    options: argparse.Namespace, watch: Watch
) -> tuple[dict[str, Any], dict[str, Any], tuple[float, float, float]]:
    """Run sink and sender; returns (what the sender saw, what the sink saw, what the machine used)."""
    run = hashlib.sha256(f"{options.seed}/{os.getpid()}/{time.time_ns()}".encode()).hexdigest()[:8].encode()
    context = multiprocessing.get_context("fork")
    ready, stop = context.Event(), context.Event()
    count = context.Value("q", 0, lock=False)
    from_sink, from_sender = context.SimpleQueue(), context.SimpleQueue()
    sink = context.Process(target=_sink, args=(options, run, count, ready, stop, from_sink), daemon=True)
    sink.start()
    if not ready.wait(5):
        sys.exit("the sink did not start (port in use?)")
    sender = context.Process(target=_send, args=(options, run, from_sender), daemon=True)
    sent: dict[str, Any] = {}
    waiter = threading.Thread(target=lambda: sent.update(from_sender.get()), daemon=True)
    waiter.start()
    began = time.monotonic()
    sender.start()
    hooks = sorted((float(when), command) for when, _, command in (each.partition(":") for each in options.at))
    deadline = done_at = 0.0
    while True:
        time.sleep(0.02)
        now = time.monotonic()
        while hooks and now - began >= hooks[0][0]:
            subprocess.Popen(hooks.pop(0)[1], shell=True)
        watch.look()
        if not sent:
            if not sender.is_alive() and not waiter.is_alive():
                sys.exit("the sender died")
            continue
        deadline = deadline or now + options.drain
        if options.accept_only or count.value >= len(sent["accepted"]):
            done_at = done_at or now
        if (done_at and now - done_at >= options.settle) or now > deadline:
            break
    used = watch.end()
    stop.set()
    taken = from_sink.get()
    sink.join(2)
    return sent, taken, used


def percentile(sorted_seconds: list[float], share: float) -> float | None:
    """In milliseconds."""
    if not sorted_seconds:
        return None
    return round(1000 * sorted_seconds[min(len(sorted_seconds) - 1, int(len(sorted_seconds) * share))], 2)


def spread(seconds: list[float]) -> dict[str, float | None]:
    """p50, p99 and the longest, in milliseconds."""
    ordered = sorted(seconds)
    return {"p50": percentile(ordered, 0.5), "p99": percentile(ordered, 0.99), "max": percentile(ordered, 1)}


def account(options: argparse.Namespace, sent: dict[str, Any], taken: dict[str, Any]) -> dict[str, Any]:
    """Every message's end, in numbers."""
    arrivals, accepted = taken["arrivals"], set(sent["accepted"])
    lost = [] if options.accept_only else sorted(accepted - set(arrivals))
    ambiguous = set(sent["ambiguous"]) | set(taken["dropped"])
    faulty = sum(many for number, many in taken["dups"].items() if number not in ambiguous)
    return {
        "sent": sent["started"],
        "accepted": len(accepted),
        "delivered": len(arrivals),
        "bounced": len(taken["bounced"]),
        "lost": len(lost),
        "lost_ids": lost[:10],
        "duplicated": faulty,
        "duplicated_ambiguous": sum(taken["dups"].values()) - faulty,
        "changed": len(set(taken["changed"]) - ambiguous),
        "ambiguous": len(ambiguous),
        "delivered_unacked": len(set(arrivals) - accepted),
        "rejected": len(sent["rejected"]),
        "rejected_codes": dict(collections.Counter(sent["rejected"].values())),
        "tempfailed": sent["tempfails"],
        "reconnects": sent["reconnects"],
        "sink_tempfailed": taken["tempfails"],
        "foreign": taken["foreign"],
        "no_id": taken["unknown"],
        "encrypted": taken["encrypted"],
        "plaintext_seen": taken["plaintext"],
        "saved": taken["saved"],
        "sink_connections": taken["connections"],
        "ok": not lost and not faulty and len(accepted) == options.count and not taken["unknown"],
    }


def speed(options: argparse.Namespace, sent: dict[str, Any], taken: dict[str, Any]) -> dict[str, Any]:
    """Rates and latencies."""
    arrivals, accepted, start = taken["arrivals"], sent["accepted"], sent["T0"]
    sending = max(1e-9, sent["last_ok"] - start)
    last = sent["last_ok"] if options.accept_only else max(arrivals.values(), default=start)
    seconds = max(1e-9, last - start)
    done = len(accepted) if options.accept_only else len(arrivals)
    return {
        "seconds": round(seconds, 3),
        "msg_s": round(done / seconds, 1),
        "mb_s": round(sent["bytes"] / seconds / 1e6, 2),
        "accept_msg_s": round(len(accepted) / sending, 1),
        "out_bytes_per_in": round(taken["bytes"] / max(1, sent["bytes"]), 3),
        "accept_ms": spread([sent["acc_lat"][number] for number in accepted]),
        "e2e_ms": spread([arrivals[number] - sent["t_start"][number] for number in accepted if number in arrivals]),
    }


def cost(watch: Watch, used: tuple[float, float, float], done: int, own: float, seconds: float) -> dict[str, Any]:
    """CPU and memory; None where no process was named."""
    cpu, busy, stolen = used
    return {
        "cpu_s": round(cpu, 2) if watch.known else None,
        "cpu_s_per_1000": round(1000 * cpu / max(1, done), 2) if watch.known else None,
        "peak_rss_mb": round(watch.peak_rss / 1e6, 1),
        "peak_pss_mb": round(watch.peak_pss / 1e6, 1),
        "idle_rss_mb": round(watch.idle_rss / 1e6, 1),
        "cgroup_peak_mb": round(watch.peak_cgroup / 1e6, 1) if watch.cgroup else None,
        "harness_cpu_s": round(own, 2),
        "harness_cpu_share": round(own / seconds, 2),
        "other_cpu_s": round(busy - cpu - own, 2) if watch.known else None,
        "steal_s": round(stolen, 2),
    }


def main() -> int:
    """Parse, load, print."""
    options = arguments().parse_args()
    if options.direct:
        options.port = options.sink_port
    watch = Watch(options)
    sent, taken, used = load(options, watch)
    totals = account(options, sent, taken)
    rates = speed(options, sent, taken)
    done = totals["accepted"] if options.accept_only else totals["delivered"]
    result = {
        "label": options.label,
        "kind": options.kind,
        "kinds": sent["kinds"],
        "connections": options.connections,
        "count": options.count,
        "rate": options.rate or None,
        **totals,
        **rates,
        **cost(watch, used, done, sent["cpu"] + taken["cpu"], rates["seconds"]),
    }
    print(json.dumps(result), flush=True)
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
