"""The bill of materials names what the image installs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from sidecar import __version__
from tests.sbom import LOCK, write


def test_the_bill_is_that_of_the_lock(tmp_path: Path) -> None:
    """Every locked package is there, in its version and with the hashes of its files; two bills are alike."""
    for name in ("one.json", "two.json"):
        write(tmp_path / name)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    bill = json.loads((tmp_path / "one.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    root = bill["metadata"]["component"]
    assert (root["name"], root["version"]) == ("memsidecar", __version__)
    assert root["licenses"][0]["license"]["id"] == "MIT"
    lock = LOCK.read_text()
    listed = {(each["name"].lower(), each["version"]) for each in bill["components"]}
    assert listed == set(re.findall(r"^([\w.\-]+)==([^\s;]+)", lock, re.MULTILINE))
    hashes = {each["content"] for part in bill["components"] for each in part["externalReferences"][0]["hashes"]}
    assert hashes == set(re.findall(r"sha256:(\w{64})", lock))
