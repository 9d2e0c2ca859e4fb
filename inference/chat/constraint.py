"""Say token by token what may come next, so that an answer is what its grammar says.

Owns the compiled grammars of one tokenizer and the walk of one answer through thought, grammar
and end. Knows nothing about requests. Grammars are llguidance's.
"""

import threading
from collections import OrderedDict
from typing import Final

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from numpy.typing import NDArray

from inference.chat.grammar import Grammar
from inference.chat.turns import CLOSER, OPENER
from inference.contract import RequestRefused

MAX_COMPILED: Final = 32
# Less than llguidance's own: a request may not keep the server from all others for long.
LIMITS: Final = LLParserLimits(
    initial_lexer_fuel=500_000,
    step_lexer_fuel=100_000,
    max_lexer_states=50_000,
    max_grammar_size=100_000,
    verbose_errors=False,
)

Mask = NDArray[np.bool_]


class Grammars:
    """Compile grammars for one tokenizer, each once."""

    def __init__(
        self, tokenizer_json: str, *, control_ids: dict[str, int], stop_ids: tuple[int, ...]
    ) -> None:
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()
        self._opener = control_ids.get(OPENER)
        self._closer = control_ids.get(CLOSER)
        self._fault = "" if stop_ids else "the checkpoint names no token that ends an answer"
        try:
            self._tokenizer = LLTokenizer(tokenizer_json, eos_token=list(stop_ids) or None)
        except (ValueError, RuntimeError, OverflowError) as error:
            self._fault = f"the tokenizer cannot be used for that: {error}"
            return
        self.vocabulary: int = self._tokenizer.vocab_size
        self._stops = np.array([i for i in stop_ids if i < self.vocabulary], dtype=np.int64)
        # llguidance takes added tokens that are not special for text, which the answer's reader
        # would then leave out.
        self._not_text = np.array(
            [i for i in control_ids.values() if not self._tokenizer.is_special_token(i)],
            dtype=np.int64,
        )
        self._free = self._only(self._stops, inverted=True)
        self._end = self._only(self._stops)

    def constraint(
        self, grammar: Grammar, *, in_thought: bool, may_think: bool
    ) -> "GrammarConstraint":
        """Return a fresh walk; `may_think`: the model may open a thought of its own.

        Raises: RequestRefused naming the field, with llguidance's own words.
        """
        matcher = self._matcher(grammar).deep_copy()
        opener = self._opener if may_think and not in_thought else None
        return GrammarConstraint(self, matcher, grammar, opener=opener, in_thought=in_thought)

    def next_mask(self, matcher: LLMatcher) -> Mask:
        """Return what the grammar lets come next, at least one token; (vocabulary,) bool."""
        packed = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        mask = np.unpackbits(packed, count=self.vocabulary, bitorder="little").view(np.bool_)
        mask[self._not_text] = False
        return self._end if matcher.is_error() or not mask.any() else mask

    def is_stop(self, token_id: int) -> bool:
        return bool((self._stops == token_id).any())

    @property
    def free(self) -> Mask:
        """Everything but the end: inside a thought."""
        return self._free

    @property
    def end(self) -> Mask:
        """Nothing but the end."""
        return self._end

    @property
    def closer_id(self) -> int | None:
        return self._closer

    def text_of(self, token_id: int) -> bytes:
        return bytes(self._tokenizer.decode_bytes([token_id]))

    def _only(self, ids: NDArray[np.int64], *, inverted: bool = False) -> Mask:
        mask = np.full(self.vocabulary, inverted)
        mask[ids] = not inverted
        mask.flags.writeable = False
        return mask

    def _matcher(self, grammar: Grammar) -> LLMatcher:
        with self._lock:
            if self._fault:
                raise RequestRefused(f"{grammar.field}: {self._fault}", param=grammar.field)
            found = self._compiled.get(grammar.text)
            if found is None:
                found = LLMatcher(self._tokenizer, grammar.text, log_level=0, limits=LIMITS)
                if not found.is_error():
                    found.compute_bitmask()
                if found.is_error():
                    raise RequestRefused(
                        f"{grammar.field}: {found.get_error()[:1000]}", param=grammar.field
                    )
                self._compiled[grammar.text] = found
            self._compiled.move_to_end(grammar.text)
            if len(self._compiled) > MAX_COMPILED:
                self._compiled.popitem(last=False)
            return found


class GrammarConstraint:
    """Walk one answer; meets `inference.protocol.TokenConstraint`.

    Laws: a thought is free, but cannot end the answer; behind it only the grammar's tokens may
    come; where the grammar is complete, a stop token may, and where nothing else may, only that.
    Where the grammar can be followed no further, the answer ends and `fault` says why.
    """

    def __init__(
        self,
        grammars: Grammars,
        matcher: LLMatcher,
        grammar: Grammar,
        *,
        opener: int | None,
        in_thought: bool,
    ) -> None:
        self.json_schema = grammar.json_schema
        self.grammar = grammar.text
        self.fault = ""
        self._grammars = grammars
        self._matcher = matcher
        self._opener = opener
        self._in_thought = in_thought
        self._ended = False
        self._tail = b""

    @property
    def in_thought(self) -> bool:
        return self._in_thought

    def allowed(self) -> Mask:
        """Return (vocabulary,) bool, not to be written to."""
        if self._ended:
            return self._grammars.end
        if self._in_thought:
            return self._grammars.free
        mask = self._grammars.next_mask(self._matcher)
        if self._matcher.is_error():
            self.fault = self._matcher.get_error()[:300]
        elif self._opener is not None:
            mask = mask.copy()
            mask[self._opener] = True
        return mask

    def accept(self, token_id: int) -> None:
        if self._in_thought:
            self._in_thought = not self._closes(token_id)
        elif self._opener is not None and token_id == self._opener:
            self._in_thought = True
        elif self._grammars.is_stop(token_id):
            self._ended = True
        elif not self._ended and not self._matcher.consume_token(token_id):
            self.fault = self._matcher.get_error()[:300]
            self._ended = True
        self._opener = None

    def _closes(self, token_id: int) -> bool:
        """Tell whether the thought is over: by its one token, or by the letters of several."""
        if self._grammars.closer_id is not None:
            return token_id == self._grammars.closer_id
        closer = CLOSER.encode()
        self._tail = (self._tail + self._grammars.text_of(token_id))[-4 * len(closer) :]
        return closer in self._tail
