"""Write the files that a release of a judged checkpoint has to carry."""

from django.utils import timezone

from compliance.models import Assessment
from compliance.rules.evaluate import evaluate
from compliance.rules.notices import Bundle, notice_bundle
from compliance.selectors_licences import library_for
from compliance.services.facts import collect
from compliance.services.uses import read_use


def notices_for(row: Assessment) -> Bundle:
    """Write them from today's facts, for the use that was judged."""
    facts = collect(row.checkpoint, read_use(row.use), now=timezone.now())
    library = library_for(row.organisation)
    return notice_bundle(evaluate(facts, library), facts, library)
