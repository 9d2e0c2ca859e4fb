"""Compile and render one approved chat template inside limits of size, time and memory.

The rendering happens in another process (`inference.chat.worker`): a template that loops without
end, or builds a string without end, is ended there, and the next request is served.
"""

import hashlib
from typing import Final

from inference.chat.renderer import SHARED
from inference.contract import RenderingFailed, RequestRefused

MAX_TEMPLATE_CHARS: Final = 64 * 1024


class BoundedTemplate:
    """A chat template; `render` is bounded as `inference.chat.worker` says."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_TEMPLATE_CHARS:
            raise RenderingFailed(
                f"the chat template has {len(source)} characters; {MAX_TEMPLATE_CHARS} at most"
            )
        self._source = source
        self._key = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
        answer = SHARED.ask({"key": self._key, "source": source})
        if "uncompiled" in answer:
            raise RenderingFailed(str(answer["uncompiled"]))

    def render(self, **names: object) -> str:
        """Return the text; `names` are what JSON can say.

        Raises: RenderingFailed; RequestRefused where the template itself refuses its messages.
        """
        question = {"key": self._key, "names": names}
        answer = SHARED.ask(question)
        if "unknown" in answer:
            # The process was replaced since, or has had many templates since.
            answer = SHARED.ask({**question, "source": self._source})
        if "refused" in answer:
            raise RequestRefused(
                f"the model's chat template refuses these messages: {answer['refused']}"
            )
        if "text" not in answer:
            raise RenderingFailed(str(answer.get("failed", "the chat template was not rendered")))
        return str(answer["text"])
