"""Writes the bill of materials of the image: `python -m tests.sbom`, or `make sbom`.

CycloneDX (https://cyclonedx.org), from the lock that the image installs, with the hashes of all files. What the base
image brings of Debian's is not in it: a scanner of images lists that.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from sidecar import __version__

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements/runtime.txt"
OUTPUT = ROOT / "build/memsidecar.cdx.json"

LIMIT_S = 120.0


def write(output: Path) -> None:
    """Write the bill to `output`. The same lock and version give the same bytes.

    Raises:
        subprocess.CalledProcessError: cyclonedx-py failed; it has said why.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as directory:
        # A bill has to name the version, which stands in the sources and not in pyproject.toml.
        project = Path(directory) / "pyproject.toml"
        told = (ROOT / "pyproject.toml").read_text()
        project.write_text(re.sub(r"^dynamic = .*$", f'version = "{__version__}"', told, flags=re.MULTILINE))
        command: list[str | Path] = [
            # It warns that nothing says which package needs which: a lock does not.
            *(sys.executable, "-W", "ignore::UserWarning", "-m", "cyclonedx_py", "requirements", LOCK),
            *("--pyproject", project, "--output-reproducible", "--of", "JSON", "-o", output),
        ]
        subprocess.run(command, check=True, timeout=LIMIT_S)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), default=OUTPUT, help=f"[{OUTPUT}]")
def main(output: Path) -> None:
    """Write what the image is made of."""
    write(output)
    click.echo(output)


if __name__ == "__main__":
    main()
