"""Prove that a folder is the checkpoint that was approved, before anything in it is read."""

from pathlib import Path

from inference.contract import ServingError
from registry.artifact.manifest import Manifest, verify
from registry.errors import LictorError


class CheckpointRefused(ServingError):  # noqa: N818  the name says what happened
    code, status, title = "checkpoint_refused", 500, "The folder is not the approved checkpoint"


def verify_checkpoint(folder: Path, *, manifest_file: Path, expected_digest: str) -> Manifest:
    """Hash every file of the folder; return its manifest if all is as approved.

    Files that the manifest does not list are a difference too: something might load them.

    Raises: CheckpointRefused listing what is extra, missing or changed.
    """
    try:
        manifest = Manifest.from_bytes(manifest_file.read_bytes())
        if manifest.digest != expected_digest:
            raise CheckpointRefused(
                f"{manifest_file} has digest {manifest.digest}, expected {expected_digest}"
            )
        difference = verify(folder, manifest)
    except (LictorError, OSError) as error:
        raise CheckpointRefused(f"{folder} cannot be checked: {error}") from error
    if not difference.is_empty:
        raise CheckpointRefused(f"{folder} differs from its manifest: {difference}")
    return manifest
