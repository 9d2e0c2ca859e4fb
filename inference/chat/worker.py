"""Render chat templates in a process of their own, which the kernel ends when one goes too far.

Run as a script by `inference.chat.renderer`; needs the standard library and jinja2 only. Frames
on stdin and stdout: four bytes of length, then JSON. Owns the sandbox (which names a template
sees, which operators it may use) and the limits: CPU time by a timer whose signal nothing
catches, memory by an address space limit, no files, no children. A loop inside a filter, which
no step counter in Python would see, ends like any other.
"""

import json
import os
import re
import resource
import signal
import sys
from typing import Any, BinaryIO, Final, NoReturn

from jinja2.exceptions import SecurityError, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_RENDERED_CHARS: Final = 1024 * 1024
MAX_CPU_SECONDS: Final = 1.0
MAX_MEMORY_BYTES: Final = 512 * 1024 * 1024
MAX_KEPT_TEMPLATES: Final = 32
KEPT_GLOBALS: Final = frozenset({"range", "dict", "namespace"})
# A placeholder for said text: its nonce, its number, how often it stands inside JSON strings.
MARK: Final = re.compile(r"x([0-9a-f]{24})n([0-9]+)e([0-9]+)x")

Json = dict[str, Any]


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with the operators that build huge strings from small ones taken out."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
            raise SecurityError(f"operator {operator} on these values is not allowed")
        return super().call_binop(context, operator, left, right)


class _Refused(Exception):  # noqa: N818  the name says what happened
    """The template itself refuses its messages."""


class _TooLong(Exception):  # noqa: N818  the name says what happened
    """The rendered text passes `MAX_RENDERED_CHARS`."""


class Workshop:
    """Compiled templates by key, and what can be asked about them."""

    def __init__(self) -> None:
        self._environment = _environment()
        self._templates: dict[str, Any] = {}

    def answer(self, asked: Json) -> Json:
        """Return `text`, or what went wrong: `refused`, `failed`, `uncompiled`, `unknown`."""
        if "source" in asked and (fault := self._compile(asked["key"], asked["source"])):
            return {"uncompiled": fault}
        if "names" not in asked:
            return {"text": ""}
        template = self._templates.get(asked["key"])
        if template is None:
            return {"unknown": True}
        try:
            return {"text": _render(template, asked["names"])}
        except _Refused as refusal:
            return {"refused": str(refusal)}
        except _TooLong:
            return {"failed": f"the prompt exceeds {MAX_RENDERED_CHARS} characters"}
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a template can make anything raise
            return {"failed": f"the chat template failed: {error}"[:500]}

    def _compile(self, key: str, source: str) -> str:
        """Keep the compiled template; return what is wrong with it, nothing if all is well."""
        if len(self._templates) >= MAX_KEPT_TEMPLATES:
            self._templates.clear()
        try:
            self._templates[key] = self._environment.from_string(source)
        except (TemplateError, RecursionError, SyntaxError, ValueError, OverflowError) as error:
            return f"the chat template does not compile: {error}"[:500]
        return ""


def _render(template: Any, names: Json) -> str:
    written: list[str] = []
    size = 0
    for part in template.generate(**names):
        size += len(part)
        if size > MAX_RENDERED_CHARS:
            raise _TooLong
        written.append(part)
    return "".join(written)


def _environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        extensions=["jinja2.ext.loopcontrols"],
    )
    for name in set(environment.globals) - KEPT_GLOBALS:
        del environment.globals[name]
    environment.globals["raise_exception"] = _refuse
    environment.filters["tojson"] = to_json
    return environment


def _refuse(message: str) -> NoReturn:
    raise _Refused(message)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON as chat templates expect it: jinja2's own filter escapes it for HTML.

    A placeholder inside it is noted to stand in a JSON string, so that its text is escaped.
    """
    text = json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
    return MARK.sub(lambda mark: f"x{mark[1]}n{mark[2]}e{int(mark[3]) + 1}x", text)


def main() -> None:
    """Answer frames until stdin ends."""
    # The real stdout is kept for frames alone.
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    workshop = Workshop()
    _warm(workshop)
    _limit()
    while (asked := _read(source)) is not None:
        signal.setitimer(signal.ITIMER_PROF, MAX_CPU_SECONDS)
        try:
            answer = json.dumps(workshop.answer(asked)).encode()
        except MemoryError:
            os._exit(1)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sink.write(len(answer).to_bytes(4, "big") + answer)
        sink.flush()


def _warm(workshop: Workshop) -> None:
    """Load what jinja2 only loads when it is needed, while files can still be opened."""
    for source in ("{{ a|tojson }}{{ b.c.d }}", "{% if %}", "{{ '%s'|format(a)|trim|indent }}"):
        workshop.answer({"key": "warm", "source": source})
        workshop.answer({"key": "warm", "names": {"a": 1}})


def _limit() -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for kind, most in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 3),
        (resource.RLIMIT_NPROC, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def _read(source: BinaryIO) -> Json | None:
    head = source.read(4)
    if len(head) < 4:
        return None
    body: Json = json.loads(source.read(int.from_bytes(head, "big")))
    return body


if __name__ == "__main__":
    main()
