"""List the kinds of targets by the name that a target's row carries."""

from deployer.models import Target
from deployer.targets.base import TargetKind
from deployer.targets.local import LocalTarget

KINDS: dict[str, TargetKind] = {"local": LocalTarget()}


def kind_of(target: Target) -> TargetKind:
    return KINDS[target.kind]
