"""A real Prometheus as a child process, and its answers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from sidecar.dev.ports import LOOPBACK
from sidecar.dev.probes import http_succeeds
from sidecar.dev.processes import ChildProcess

INTERVAL_S = 1
"""Between two looks at a target: rates are there after two of them."""

LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Series:
    """One line of an answer: its labels, and its points as (seconds since 1970, value). Those that are no number are
    left out."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class Prometheus(ChildProcess):
    """A Prometheus that looks at `targets`.

    Args:
        program: from Debian's package `prometheus`, for instance.
        directory: for its data.
        targets: by job, `host:port` of /metrics.
    """

    ready_limit_s = 30.0
    ready_sign = "its /-/ready does not answer"

    def __init__(self, *, program: Path, directory: Path, port: int, targets: Mapping[str, str]) -> None:
        super().__init__("prometheus")
        self._program, self._directory, self._port = program, directory, port
        jobs = [{"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in targets.items()]
        every = f"{INTERVAL_S}s"
        scraping = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
        (directory / "prometheus.yml").write_text(yaml.safe_dump({"global": scraping, "scrape_configs": jobs}))

    def command(self) -> Sequence[str | Path]:
        return [
            self._program,
            f"--config.file={self._directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            f"--web.listen-address={LOOPBACK}:{self._port}",
            "--log.level=warn",
        ]

    def is_ready(self) -> bool:
        return http_succeeds(self._port, "/-/ready")

    def now(self, expression: str) -> list[Series]:
        """Return what a query answers now, one point a series.

        Raises:
            urllib.error.HTTPError: it is no query.
        """
        return [_series(each["metric"], [each["value"]]) for each in self._ask("query", query=expression)]

    def between(self, expression: str, start: float, end: float, step_s: float) -> list[Series]:
        """Return what a query answers over a time, a point for each `step_s`."""
        found = self._ask("query_range", query=expression, start=start, end=end, step=step_s)
        return [_series(each["metric"], each["values"]) for each in found]

    def _ask(self, what: str, **parameters: Any) -> list[dict[str, Any]]:
        url = f"http://{LOOPBACK}:{self._port}/api/v1/{what}?{urlencode(parameters)}"
        with urlopen(url, timeout=LIMIT_S) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found


def _series(labels: Mapping[str, str], points: Sequence[tuple[float, str]]) -> Series:
    numbers = [(time, float(value)) for time, value in points]
    return Series(labels, [(time, value) for time, value in numbers if math.isfinite(value)])
