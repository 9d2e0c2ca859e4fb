"""Say why a Hub did not give what was asked, in the words of this product.

HubRefusal
  missing        no such repository, or private and not shown
  gated          its terms must be accepted first, with a token
  disabled       taken down by the Hub
  no_revision    no such branch, tag or commit
  no_file        no such file in the commit
  rate_limited   asked too often; `retry_after` in seconds
  unreachable    no connection, or no answer in time
  failed         the Hub answered 5xx
  bad_answer     what came is not what a Hub answers, or not the bytes it named
  offline        nothing kept from earlier, and asking is not allowed
  disk           the disk is full
"""

from typing import Final

from registry.errors import LictorError

TRANSIENT: Final = frozenset({"rate_limited", "unreachable", "failed"})
_REMEDIES: Final = {
    "missing": "Check the name; for a private repository set HF_TOKEN to a token that may read it.",
    "gated": "Accept its terms on its page, and set HF_TOKEN to a token of that account.",
    "no_revision": "Name a branch, a tag or a whole commit.",
    "rate_limited": "Wait, or set HF_TOKEN: those who are signed in may ask more often.",
    "unreachable": "Check the network, HF_ENDPOINT and the proxy variables; "
    "--offline uses what an earlier import kept.",
    "failed": "Try again later.",
    "offline": "Import it once with a network, or fetch it into the Hub cache.",
    "disk": "Make room, then run the same command again: it goes on where it stopped.",
}


class HubRefusal(LictorError):  # noqa: N818 - the product's word
    """Carry one of the reasons above and the remedy for it."""

    code = "hub_refused"
    status = 503
    title = "The Hub did not give it"

    def __init__(self, reason: str, detail: str, *, retry_after: float | None = None) -> None:
        remedy = _REMEDIES.get(reason, "")
        super().__init__(f"{detail} {remedy}".strip(), extra={"reason": reason})
        self.reason = reason
        self.retry_after = retry_after

    @property
    def is_transient(self) -> bool:
        return self.reason in TRANSIENT
