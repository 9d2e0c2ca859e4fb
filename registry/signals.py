"""The notice board: what rooms tell each other through the outbox. A topic carries one id.

A notice is a hint to look at the database, never the news itself: whoever reads it reads the row.
"""

from typing import Final

CHECKPOINT_REGISTERED: Final = "checkpoint_registered"  # a checkpoint's id
EVIDENCE_RECORDED: Final = "evidence_recorded"  # an evidence record's id
STANDING_CHANGED: Final = "standing_changed"  # a checkpoint's id
DESIRED_CHANGED: Final = "desired_changed"  # an endpoint's id

TOPICS: Final = frozenset(
    {CHECKPOINT_REGISTERED, EVIDENCE_RECORDED, STANDING_CHANGED, DESIRED_CHANGED}
)
