"""What a vLLM server makes of a prompt: the proof by looking, not by reading its documentation.

`enable_thinking` and the words /think and /no_think each work with some templates and do nothing,
in silence, with others. The tail of the rendered prompt shows which.
"""

from typing import Final

import httpx

from inference.chat.format import ChatFormat
from inference.contract import Json
from inference.protocol import EngineError

# Behind the user's text, so that a word that is only copied changes none of them.
TAIL_TOKENS: Final = 4
PROBE: Final = "Lorem ipsum\ndolor 42."
SPELLINGS: Final[dict[str, tuple[Json, Json]]] = {
    "enable_thinking": (
        {"chat_template_kwargs": {"enable_thinking": True}},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ),
    "/think": ({"word": " /think"}, {"word": " /no_think"}),
}


async def spellings_that_work(client: httpx.AsyncClient, model: str) -> dict[str, bool]:
    """Say of each spelling whether it changes the end of the prompt that the server renders."""
    found = {}
    for name, (wanted_on, wanted_off) in SPELLINGS.items():
        tails = [await _rendered(client, model, wish) for wish in (wanted_on, wanted_off)]
        found[name] = tails[0][-TAIL_TOKENS:] != tails[1][-TAIL_TOKENS:]
    return found


async def check_tokens(client: httpx.AsyncClient, model: str, form: ChatFormat) -> None:
    """Return if the server reads text as we do: then the ids we send mean what we rendered.

    Raises: EngineError.
    """
    ours = form.text_prompt(PROBE).ids
    theirs = await _tokens(client, {"model": model, "prompt": PROBE, "add_special_tokens": True})
    if list(ours) != theirs:
        raise EngineError(
            f"the server's tokenizer is not this checkpoint's: it reads {PROBE!r} as "
            f"{theirs[:12]}, the checkpoint as {list(ours)[:12]}"
        )


async def _rendered(client: httpx.AsyncClient, model: str, wish: Json) -> list[int]:
    named = {name: value for name, value in wish.items() if name != "word"}
    content = PROBE + str(wish.get("word", ""))
    messages = [{"role": "user", "content": content}]
    body = {"model": model, "messages": messages, "add_generation_prompt": True, **named}
    return await _tokens(client, body)


async def _tokens(client: httpx.AsyncClient, body: Json) -> list[int]:
    try:
        answer = (await client.post("/tokenize", json=body)).raise_for_status().json()
        return [int(token) for token in answer["tokens"]]
    except (httpx.HTTPError, ValueError, LookupError) as error:
        raise EngineError(f"the server does not tokenise: {error}") from error
