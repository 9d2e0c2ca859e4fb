"""Compile and render one approved chat template inside limits.

Owns the sandbox: which names a template sees, how large it and its output may be. Knows nothing
about reasoning or messages. What it cannot bound is time: a template is rendered only after the
checkpoint that carries it was approved and its digest checked.
"""

import json
from typing import Any, Final, NoReturn

from jinja2.exceptions import SecurityError, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from inference.contract import RenderingFailed, RequestRefused

MAX_TEMPLATE_CHARS: Final = 64 * 1024
MAX_RENDERED_CHARS: Final = 1024 * 1024
KEPT_GLOBALS: Final = frozenset({"range", "dict", "namespace"})


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with the operators that build huge strings from small ones taken out."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
            raise SecurityError(f"operator {operator} on these values is not allowed")
        return super().call_binop(context, operator, left, right)


class BoundedTemplate:
    """A compiled chat template; `render` stops at `MAX_RENDERED_CHARS`."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_TEMPLATE_CHARS:
            raise RenderingFailed(
                f"the chat template has {len(source)} characters; {MAX_TEMPLATE_CHARS} at most"
            )
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise RenderingFailed(f"the chat template does not compile: {error}") from error

    def render(self, **names: object) -> str:
        """Return the text.

        Raises: RenderingFailed; RequestRefused where the template itself refuses its messages.
        """
        written: list[str] = []
        size = 0
        try:
            for part in self._template.generate(**names):
                size += len(part)
                if size > MAX_RENDERED_CHARS:
                    raise RenderingFailed(f"the prompt exceeds {MAX_RENDERED_CHARS} characters")
                written.append(part)
        except (TemplateError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            raise RenderingFailed(f"the chat template failed: {error}") from error
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
    environment.filters["tojson"] = _to_json
    return environment


def _refuse(message: str) -> NoReturn:
    raise RequestRefused(f"the model's chat template refuses these messages: {message}")


def _to_json(value: Any, indent: int | None = None) -> str:
    """Write JSON as the templates expect it: jinja2's own filter escapes it for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
