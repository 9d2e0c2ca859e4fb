"""Map what a Hub says of a repository to plain facts.

Two kinds, kept apart. A `Commit` is fixed: the names, sizes and hashes of one commit's files; its
bytes are part of an imported checkpoint's identity. What was `Seen` may change while the commit
stays: gate, security status, what a parent is called now. All of it is what the Hub *says*;
nothing here is verified. Knows nothing about HTTP, Django or the clock.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import rfc8785

from registry.artifact.card import is_declaring
from registry.artifact.paths import path_fault
from registry.errors import BadInput

SCHEMA: Final = "lictor.hub-import/1"
RECORD_FILE: Final = "hub-import.json"
REFUSED_FOLDER: Final = "refused/"
RELATIONS: Final = frozenset({"adapter", "finetune", "merge", "quantized"})
MAX_FILES: Final = 20_000
MAX_LISTED: Final = 200
MAX_TEXT: Final = 512 << 10
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_LICENCE: Final = re.compile(r"(?i)(licen[cs]e|copying|unlicense)([._-].*)?")
_TERMS: Final = re.compile(
    r"(?i)((acceptable[._-]?)?use[._-]?policy|terms([._-]of[._-]use)?|prohibited[._-]?use)([._-].*)?"
)


@dataclass(frozen=True, slots=True, order=True)
class HubFile:
    """Name one file as the Hub lists it; `blob_id` is git's SHA-1, `sha256` only large files have.

    `size` is in bytes. None means that the Hub did not say.
    """

    path: str
    size: int | None = None
    blob_id: str | None = None
    sha256: str | None = None

    @property
    def claim(self) -> str | None:
        """Give the strongest hash that the Hub claims for this file."""
        return self.sha256 or self.blob_id


@dataclass(frozen=True, slots=True)
class Commit:
    """Hold the files of one commit, sorted by path.

    Law: `Commit.from_json(c.to_json()) == c`. Raises: BadInput (code hub_record_invalid).
    """

    repo: str
    sha: str
    files: tuple[HubFile, ...]

    def __post_init__(self) -> None:
        if not _REPO.fullmatch(self.repo):
            raise _invalid("repo", f"{self.repo[:200]!r} is not an org/name.")
        if not _COMMIT.fullmatch(self.sha):
            raise _invalid("commit", f"{self.sha[:80]!r} is not 40 lower-case hex digits.")
        if len(self.files) > MAX_FILES:
            raise _invalid("files", f"lists more than {MAX_FILES} files.")
        object.__setattr__(self, "files", tuple(sorted(set(self.files), key=_by_path)))

    def to_json(self) -> dict[str, Any]:
        files = [asdict(one) for one in self.files]
        return {"schema": SCHEMA, "repo": self.repo, "commit": self.sha, "files": files}

    @classmethod
    def from_json(cls, value: object) -> "Commit":
        if not isinstance(value, Mapping) or set(value) != {"schema", "repo", "commit", "files"}:
            raise _invalid("", "must have exactly the members schema, repo, commit and files.")
        if value["schema"] != SCHEMA:
            raise _invalid("schema", f"must be {SCHEMA!r}.")
        repo, sha, files = value["repo"], value["commit"], value["files"]
        if not isinstance(repo, str) or not isinstance(sha, str) or not isinstance(files, list):
            raise _invalid("", "repo and commit must be text, and files a list.")
        return cls(repo, sha, tuple(_file(number, item) for number, item in enumerate(files)))

    def canonical_bytes(self) -> bytes:
        """Write the RFC 8785 JSON that goes into the manifest as RECORD_FILE."""
        return bytes(rfc8785.dumps(self.to_json()))

    def file(self, path: str) -> HubFile | None:
        return next((one for one in self.files if one.path == path), None)


@dataclass(frozen=True, slots=True)
class Parent:
    """Name a parent and how the child came from it, and who says so.

    `said_by` is card, hub, config (an adapter's) or nobody (then the relation is assumed). `named`
    is how the card spells it, which differs from `id` after a repository was renamed. `state` says
    what is known of it.
    """

    id: str
    relation: str
    said_by: str
    named: str = ""
    state: str = "unread"


def card_of(card: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a card's metadata what says under which terms it comes; odd values are dropped."""
    kept: dict[str, Any] = {}
    for key in ("license", "license_name", "license_link", "base_model_relation"):
        found = _texts(card.get(key))
        kept[key] = found[0] if len(found) == 1 else None
    kept["base_model"] = _texts(card.get("base_model"))
    kept["datasets"] = _texts(card.get("datasets"))
    return kept


def gates_of(card: Mapping[str, Any]) -> list[str]:
    """List the texts that a visitor must agree to or is shown at a gate, whole."""
    keys = ("extra_gated_prompt", "extra_gated_description")
    return [value for key in keys if isinstance(value := card.get(key), str) and value.strip()]


def parents_of(repo: str, card: Mapping[str, Any], base_models: object) -> list[Parent]:
    """List the parents that the card or the Hub names; the Hub's list has two forms.

    `base_models` is {"relation": ..., "models": [{"id": ...}]}, a list of names or of such
    objects, or None. A model that names itself is left out. The card's own relation wins.
    """
    told = card_of(card)
    relation, listed = _hub_bases(base_models)
    names = list(dict.fromkeys([*told["base_model"], *listed]))[:MAX_LISTED]
    names = [name for name in names if name.casefold() != repo.casefold()]
    card_says = told["base_model_relation"]
    if card_says in RELATIONS:
        how = (card_says, "card")
    elif relation in RELATIONS:
        how = (relation, "hub")
    else:
        how = ("merge" if len(names) > 1 else "finetune", "nobody")
    return [Parent(name, *how, named=name) for name in names]


def _hub_bases(value: object) -> tuple[str, list[str]]:
    if isinstance(value, Mapping):
        relation, models = value.get("relation"), value.get("models")
        names = _hub_bases(models)[1]
        return (relation if isinstance(relation, str) else ""), names
    if isinstance(value, str):
        return "", _texts(value)
    names, relations = [], set()
    for item in value if isinstance(value, list | tuple) else ():
        if isinstance(item, Mapping):
            relations.add(item.get("relation"))
            inner = item.get("models")
            names += _hub_bases(inner)[1] if inner else _texts(item.get("id"))
        else:
            names += _texts(item)
    only = relations.pop() if len(relations) == 1 else None
    return (only if isinstance(only, str) else ""), names


def with_adapter_base(
    repo: str, parents: Sequence[Parent], texts: Mapping[str, bytes]
) -> list[Parent]:
    """Add the base that an adapter's configuration names, where the card does not."""
    try:
        told = json.loads(texts.get("adapter_config.json", b"{}"))
    except (ValueError, RecursionError):
        return list(parents)
    base = told.get("base_model_name_or_path") if isinstance(told, Mapping) else None
    known = {one.named.casefold() for one in parents} | {repo.casefold()}
    new = [name for name in _texts(base) if name.casefold() not in known]
    return [*parents, *(Parent(name, "adapter", "config", named=name) for name in new)]


def files_of(siblings: Iterable[Any]) -> tuple[HubFile, ...]:
    """Read the Hub's list of files; a hash or size of no known form is left out, not believed."""
    return tuple(
        HubFile(
            path=str(one.rfilename),
            size=_size(one.lfs.size if one.lfs else one.size),
            blob_id=_matching(_COMMIT, one.blob_id),
            sha256=_matching(_SHA256, one.lfs.sha256 if one.lfs else None),
        )
        for one in siblings
    )


def is_licence(path: str) -> bool:
    """Tell whether a file, by its name, is a licence or a policy that a licence may bind to."""
    name = path.rsplit("/", 1)[-1]
    return bool(_LICENCE.fullmatch(name)) or is_terms(path)


def is_terms(path: str) -> bool:
    """Tell whether a file, by its name, holds terms of use beside the licence."""
    return bool(_TERMS.fullmatch(path.rsplit("/", 1)[-1]))


def is_text_wanted(path: str) -> bool:
    """Tell whether a file is read even when the weights are not."""
    return is_declaring(path) or is_terms(path)


def is_repo(name: str) -> bool:
    """Tell whether a text has the form org/name."""
    return _REPO.fullmatch(name) is not None


def name_fault(path: str) -> str:
    """Say why a file's name cannot be taken; "" when it can."""
    fault = path_fault(path)
    return fault.message if fault else ""


def git_blob_id(data: bytes) -> str:
    """Compute what git calls these bytes: the SHA-1 of "blob <size>\\0" and the bytes."""
    head = f"blob {len(data)}\0".encode()
    return hashlib.sha1(head + data, usedforsecurity=False).hexdigest()


def matches(claimed: HubFile, *, sha256: str, blob_id: str) -> bool:
    """Tell whether bytes with these hashes are the file that the Hub names.

    A file without any claimed hash matches nothing.
    """
    if claimed.sha256 is not None:
        return claimed.sha256 == sha256
    return claimed.blob_id is not None and claimed.blob_id == blob_id


def safetensors_of(value: object) -> dict[str, Any] | None:
    """Keep the count of parameters by type and in all."""
    if not isinstance(value, Mapping):
        return None
    counts = value.get("parameters")
    kept = counts if isinstance(counts, Mapping) else {}
    parameters = {str(k)[:20]: v for k, v in list(kept.items())[:32] if _size(v) is not None}
    return {"parameters": parameters, "total": _size(value.get("total"))}


def dataset_licences(card: Mapping[str, Any]) -> list[str]:
    """List the licences that a data set's card names; several all apply to some part of it."""
    names = _texts(card.get("license"))
    if names == ["other"]:
        return _texts(card.get("license_name")) or names
    return names


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [one.strip()[:200] for one in values if isinstance(one, str) and one.strip()][
        :MAX_LISTED
    ]


def _size(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        return None
    return value


def _matching(pattern: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def _by_path(one: HubFile) -> tuple[str, str]:
    return one.path, one.claim or ""


def _file(number: int, item: object) -> HubFile:
    wanted = {"path", "size", "blob_id", "sha256"}
    if not isinstance(item, Mapping) or set(item) != wanted or not isinstance(item["path"], str):
        raise _invalid(f"files[{number}]", "must have exactly path, size, blob_id and sha256.")
    made = HubFile(
        item["path"],
        _size(item["size"]),
        _matching(_COMMIT, item["blob_id"]),
        _matching(_SHA256, item["sha256"]),
    )
    if asdict(made) != dict(item):
        raise _invalid(f"files[{number}]", "has a size or a hash of no known form.")
    return made


def _invalid(place: str, message: str) -> BadInput:
    return BadInput(
        f"The Hub's record: {place} {message}".replace(":  ", ": "),
        code="hub_record_invalid",
        place=place,
        remedy="Import it again with this version of lictor.",
    )
