"""Read chat templates as programs: their texts, and a form in which only meaning is left.

The form is that of Jinja's own parser with whitespace control applied, printed texts joined and
names of the template's own variables replaced by numbers. Two templates of one form render alike;
two of different forms may or may not. Nothing is rendered here.
"""

from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from registry.artifact.mechanisms.words import is_about_safety

MAX_TEMPLATE_CHARACTERS: Final = 400_000
MAX_NODES: Final = 50_000
MIN_WORDS: Final = 5
# What the templates of this ecosystem are given; everything else that is set is the template's own.
_GIVEN: Final = frozenset(
    {"messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token", "loop"}
)


class _Generation(Extension):
    """Take `{% generation %}`, which marks what a model said, for what it is: nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        body: list[nodes.Node] = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return body


@dataclass(frozen=True, slots=True)
class Template:
    """`form` is what the template does; `texts` are its sentences, in their order."""

    form: tuple[str, ...]
    texts: tuple[str, ...]
    conditions: tuple[str, ...]

    @property
    def safety_texts(self) -> tuple[str, ...]:
        return tuple(text for text in self.texts if is_about_safety(text))


def read_template(source: str) -> Template:
    """Parse a chat template as transformers does (trim_blocks, lstrip_blocks, loop controls).

    Raises: ValueError saying what is wrong, also when it is too large.
    """
    if len(source) > MAX_TEMPLATE_CHARACTERS:
        raise ValueError(f"the template is longer than {MAX_TEMPLATE_CHARACTERS} characters")
    # Never rendered: the environment only parses.
    environment = jinja2.Environment(  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _Generation],
    )
    try:
        # Constants are not folded: a template may ask for 9**9**9.
        tree = environment.parse(source)
    except (jinja2.TemplateError, RecursionError, ValueError, ArithmeticError) as error:
        raise ValueError(f"the template cannot be parsed: {error}") from error
    return _Reader().read(tree)


class _Reader:
    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        # What is done, and the text of what is said as it is.
        self._form: list[tuple[str, str]] = []
        self._texts: list[str] = []
        self._conditions: list[str] = []

    def read(self, tree: nodes.Node) -> Template:
        for node in tree.find_all(nodes.Name):
            if node.ctx in ("store", "param") and node.name not in _GIVEN:
                self._names.setdefault(node.name, f"v{len(self._names)}")
        try:
            self._walk(tree, 0)
        except RecursionError:
            raise ValueError("the template is nested too deeply") from None
        return Template(_joined_outputs(self._form), tuple(self._texts), tuple(self._conditions))

    def _walk(self, node: nodes.Node, depth: int) -> None:
        if len(self._form) > MAX_NODES:
            raise ValueError(f"the template has more than {MAX_NODES} parts")
        if isinstance(node, nodes.Output):
            for part in node.nodes:
                self._output(part, depth)
            return
        head = type(node).__name__
        said = [head, *(self._field(name, value) for name, value in node.iter_fields())]
        if isinstance(node, nodes.If):
            self._conditions.append(self._expression(node.test))
        self._form.append((f"{depth} " + " ".join(filter(None, said)), ""))
        for child in node.iter_child_nodes():
            if isinstance(child, nodes.Stmt):
                self._walk(child, depth + 1)
        self._note_texts(node)

    def _field(self, name: str, value: Any) -> str:
        """Write a statement's own expressions; its statements come after it, deeper."""
        if isinstance(value, list):
            kept = [one for one in value if not isinstance(one, nodes.Stmt)]
            # An empty `else` and one that holds statements differ by what comes after.
            return f"{name}[{len(value) - len(kept)}:{','.join(map(self._expression, kept))}]"
        if isinstance(value, nodes.Stmt):
            return ""
        return f"{name}={self._expression(value)}" if value is not None else ""

    def _output(self, part: nodes.Node, depth: int) -> None:
        if isinstance(part, nodes.TemplateData):
            self._text(part.data)
            self._form.append((f"{depth} say", part.data))
            return
        for piece in _pieces(part):
            if isinstance(piece, nodes.Const):
                self._form.append((f"{depth} say", str(piece.value)))
            else:
                self._form.append((f"{depth} print {self._expression(piece)}", ""))
        self._note_texts(part)

    def _expression(self, value: Any) -> str:
        if isinstance(value, nodes.Name):
            return self._names.get(value.name, value.name)
        if isinstance(value, nodes.Node):
            parts = ",".join(self._expression(item) for _, item in value.iter_fields())
            return f"{type(value).__name__}({parts})"
        if isinstance(value, list | tuple):
            return "[" + ",".join(map(self._expression, value)) + "]"
        return repr(value)

    def _note_texts(self, node: nodes.Node) -> None:
        """Keep the texts of a node's own expressions; those of nested statements are theirs."""
        for child in node.iter_child_nodes():
            if isinstance(child, nodes.Stmt):
                continue
            if isinstance(child, nodes.Const) and isinstance(child.value, str):
                self._text(child.value)
            self._note_texts(child)
        if isinstance(node, nodes.Const) and isinstance(node.value, str):
            self._text(node.value)

    def _text(self, text: str) -> None:
        if len(text.split()) >= MIN_WORDS and text not in self._texts:
            self._texts.append(text)


def _pieces(node: nodes.Node) -> list[nodes.Node]:
    """Take `a + b` and `a ~ b` apart where they are printed: so is what is printed in two."""
    if isinstance(node, nodes.Concat):
        return [piece for one in node.nodes for piece in _pieces(one)]
    if isinstance(node, nodes.Add) and _is_text(node):
        return [*_pieces(node.left), *_pieces(node.right)]
    return [node]


def _is_text(node: nodes.Node) -> bool:
    """Whether a sum has a text in it, and so joins texts."""
    if isinstance(node, nodes.Add):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, nodes.Const) and isinstance(node.value, str)


def _joined_outputs(form: list[tuple[str, str]]) -> tuple[str, ...]:
    """Make neighbouring texts of one depth one: how they are cut means nothing."""
    made: list[str] = []
    says = ((head if head.endswith(" say") else None) for head, _ in form)
    for said, group in groupby(
        (pair for pair in zip(says, form, strict=True) if pair[0] is None or pair[1][1]),
        key=lambda pair: pair[0],
    ):
        told = [one for _, one in group]
        if said is None:
            made += [head for head, _ in told]
        else:
            made.append(f"{said} {''.join(text for _, text in told)!r}")
    return tuple(made)
