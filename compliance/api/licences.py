"""Serve the organisation's licences: the catalogue, its history, proposals and their decisions."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compliance import selectors_licences as selectors
from compliance.api import serializers as wire
from compliance.api.lookups import person
from compliance.models import LicenceRecord
from compliance.rules.catalogue import STATUSES
from compliance.rules.merge import MAX_RECORD_BYTES
from compliance.services import licence_reach, licences
from compliance.services.licence_text import yaml_of
from registry.api.views import RoomView, own, require
from registry.auth import organisation_of
from registry.errors import BadInput, NotFound
from registry.etag import expected_version, with_etag

_REASON = 4_000


class LicenceEntryOut(wire.LicenceOut):
    """Show one licence; `origin` says whose record it is: bundled, operator or organisation."""

    reviewed_by = serializers.CharField(allow_null=True)
    origin = serializers.CharField(help_text=", ".join(selectors.ORIGINS))
    record = serializers.UUIDField(allow_null=True, help_text="the organisation's version in force")


class LicencePageOut(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = LicenceEntryOut(many=True)


class LicenceEntryDetailOut(wire.LicenceDetailOut):
    origin = serializers.CharField(help_text=", ".join(selectors.ORIGINS))
    record = serializers.UUIDField(allow_null=True)
    digest = serializers.CharField(help_text="of what the record says; the ETag too")
    yaml = serializers.CharField(help_text="the record as it is written in the catalogue")


class PieceOut(serializers.Serializer[Any]):
    op = serializers.CharField(help_text="same, gone or new")
    text = serializers.CharField()


class FieldChangeOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()
    redline = PieceOut(many=True)


class ClauseChangeOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    section = serializers.CharField()
    change = serializers.CharField(help_text="added, removed or changed")
    fields = FieldChangeOut(many=True)  # type: ignore[assignment]  # the metaclass takes it out


class LicenceDiffOut(serializers.Serializer[Any]):
    fields = FieldChangeOut(many=True)  # type: ignore[assignment]  # the metaclass takes it out
    clauses = ClauseChangeOut(many=True)
    order_changed = serializers.BooleanField()


class LicenceRecordOut(serializers.ModelSerializer[LicenceRecord]):
    author = serializers.CharField(source="author_name")
    decided_by = serializers.CharField(source="decided_by_name")
    state = serializers.CharField()
    change = serializers.CharField(help_text="add, override or retire")

    class Meta:
        model = LicenceRecord
        fields = [
            "id",
            "key",
            "number",
            "change",
            "state",
            "digest",
            "base_digest",
            "reason",
            "author",
            "proposed_at",
            "decided_by",
            "decided_at",
            "decision_reason",
            "superseded_at",
            "version",
            "created_at",
        ]


class LicenceVersionOut(LicenceRecordOut):
    yaml = serializers.CharField(source="document")
    diff = serializers.SerializerMethodField()

    class Meta(LicenceRecordOut.Meta):
        fields = [*LicenceRecordOut.Meta.fields, "yaml", "diff"]

    @extend_schema_field(LicenceDiffOut(allow_null=True))
    def get_diff(self, row: LicenceRecord) -> dict[str, Any] | None:
        found: dict[Any, selectors.Version] = self.context.get("versions", {})
        version = found.get(row.pk) or selectors.version_of(row)
        return None if version.diff is None else version.diff.to_dict()


class LicenceHistoryOut(serializers.Serializer[Any]):
    key = serializers.CharField()
    versions = LicenceVersionOut(many=True)


class LicenceProposalIn(serializers.Serializer[Any]):
    """Give the record as `yaml` or as `document`, or name in `retire` the record to take back."""

    yaml = serializers.CharField(required=False, max_length=MAX_RECORD_BYTES, trim_whitespace=False)
    document = serializers.DictField(required=False)
    retire = serializers.CharField(required=False, max_length=100)
    reason = serializers.CharField(max_length=_REASON)


class LicenceApproveIn(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=_REASON, default="", allow_blank=True)


class LicenceRefuseIn(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=_REASON)


class ImpactOut(serializers.Serializer[Any]):
    checkpoint = serializers.UUIDField()
    name = serializers.CharField()
    use = serializers.DictField()
    before = serializers.CharField()
    after = serializers.CharField()


class LicenceImpactOut(serializers.Serializer[Any]):
    judgements = ImpactOut(many=True)


_FILTERS = [
    OpenApiParameter("q", str, description="words of key, title, family or licensor"),
    OpenApiParameter("family", str),
    OpenApiParameter("status", str, enum=sorted(STATUSES)),
    OpenApiParameter("origin", str, enum=list(selectors.ORIGINS)),
    OpenApiParameter("counsel", str, enum=["yes", "no"], description="read by a named counsel"),
]


class Licences(RoomView):
    @extend_schema(operation_id="licences_list", parameters=_FILTERS, responses=LicencePageOut)
    def get(self, request: Request) -> Response:
        """List the licences by which your checkpoints are judged."""
        told = request.query_params
        wanted = selectors.Wanted(
            words=told.get("q", ""),
            family=told.get("family", ""),
            status=told.get("status", ""),
            origin=told.get("origin", ""),
            counsel=told.get("counsel", ""),
        )
        found = selectors.narrow(selectors.entries(organisation_of(request)), wanted)
        results = [LicenceEntryOut(_entry(one)).data for one in found]
        return Response({"next": None, "previous": None, "results": results})


def _entry(one: selectors.Entry) -> dict[str, Any]:
    return {
        **wire.LicenceOut(one.licence).data,
        "reviewed_by": one.counsel,
        "origin": one.origin,
        "record": one.record.pk if one.record else None,
    }


class OneLicence(RoomView):
    @extend_schema(operation_id="licences_read", responses=LicenceEntryDetailOut)
    def get(self, request: Request, key: str) -> Response:
        """Read one licence with its clauses; the ETag names what the record says."""
        organisation = organisation_of(request)
        found = selectors.entry(organisation, key)
        if found is None:
            raise NotFound(f"The catalogue has no licence {key!r}.")
        text = selectors.text_of(organisation, key) or ""
        digest = selectors.digest_of(text)
        body = {
            **wire.LicenceDetailOut(found.licence).data,
            "origin": found.origin,
            "record": found.record.pk if found.record else None,
            "digest": digest,
            "yaml": text,
        }
        return Response(LicenceEntryDetailOut(body).data, headers={"ETag": f'"{digest}"'})


class LicenceHistory(RoomView):
    @extend_schema(operation_id="licences_history", responses=LicenceHistoryOut)
    def get(self, request: Request, key: str) -> Response:
        """Read every version of your own record of a licence, newest first, with its redline."""
        organisation = organisation_of(request)
        found = selectors.history(organisation, key)
        if not found and selectors.entry(organisation, key) is None:
            raise NotFound(f"The catalogue has no licence {key!r}.")
        versions = {one.record.pk: one for one in found}
        rows = [one.record for one in found]
        body = LicenceVersionOut(rows, many=True, context={"versions": versions}).data
        return Response({"key": key, "versions": body})


class LicenceProposals(RoomView):
    @extend_schema(
        operation_id="licence_proposals_list",
        parameters=[OpenApiParameter("state", str, enum=LicenceRecord.State.values)],
        responses=LicenceRecordOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List versions of your licence records, newest first; `?state=proposed` is the inbox."""
        rows = selectors.records(organisation_of(request))
        if state := request.query_params.get("state"):
            rows = rows.filter(state=state)
        return self.page(rows, LicenceRecordOut)

    @extend_schema(
        operation_id="licence_proposals_create",
        request=LicenceProposalIn,
        responses={201: LicenceVersionOut},
    )
    def post(self, request: Request) -> Response:
        """Propose a record; somebody else approves it.

        With If-Match (the ETag of `licences/{key}/`) it is refused when that changed meanwhile.
        """
        require(request, licences.PROPOSE)
        fields = self.body(LicenceProposalIn)
        organisation, actor = organisation_of(request), person(request)
        given = [name for name in ("yaml", "document", "retire") if name in fields]
        if len(given) != 1:
            raise BadInput("Give one of `yaml`, `document` and `retire`.", place="yaml")
        reason, ground = fields["reason"], _ground(request)
        if "retire" in fields:
            row = licences.submit_retirement(
                organisation, key=fields["retire"], reason=reason, actor=actor, ground=ground
            )
        else:
            text = fields["yaml"] if "yaml" in fields else yaml_of(fields["document"])
            row = licences.submit(
                organisation, text=text, reason=reason, actor=actor, ground=ground
            )
        return _answer(row, 201)


def _ground(request: Request) -> str | None:
    """Read from If-Match what the caller's record is meant to replace."""
    wanted = request.headers.get("If-Match")
    return None if wanted in (None, "*") else wanted.strip().strip('"')


def _answer(row: LicenceRecord, status: int = 200) -> Response:
    return with_etag(Response(LicenceVersionOut(row).data, status=status), row.version)


def _own(request: Request, pk: UUID) -> LicenceRecord:
    rows = LicenceRecord.objects.select_related("organisation")
    row: LicenceRecord = own(request, rows, pk)
    return row


def _version(request: Request, row: LicenceRecord) -> int | None:
    """Hold the caller to If-Match where it is sent; the state itself guards the rest."""
    return expected_version(request, row.version) if "If-Match" in request.headers else None


class OneLicenceProposal(RoomView):
    @extend_schema(operation_id="licence_proposals_read", responses=LicenceVersionOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read one version with what it changes, clause by clause."""
        return _answer(_own(request, pk))


class LicenceProposalImpact(RoomView):
    @extend_schema(operation_id="licence_proposals_impact", responses=LicenceImpactOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Say which judgements approving would change, from what to what; writes nothing."""
        return Response({"judgements": licence_reach.impact(_own(request, pk))})


class ApproveLicence(RoomView):
    @extend_schema(request=LicenceApproveIn, responses=LicenceVersionOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Put somebody else's proposal in force; what it touches is judged again now."""
        row = _own(request, pk)
        require(request, licences.DECIDE)
        reason, version = self.body(LicenceApproveIn)["reason"], _version(request, row)
        done = licences.approve(row, actor=person(request), reason=reason, version=version)
        return _answer(done)


class RefuseLicence(RoomView):
    @extend_schema(request=LicenceRefuseIn, responses=LicenceVersionOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Refuse somebody else's proposal."""
        row = _own(request, pk)
        require(request, licences.DECIDE)
        reason, version = self.body(LicenceRefuseIn)["reason"], _version(request, row)
        done = licences.refuse(row, actor=person(request), reason=reason, version=version)
        return _answer(done)


class WithdrawLicence(RoomView):
    @extend_schema(request=None, responses=LicenceVersionOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Take your own proposal back."""
        row = _own(request, pk)
        require(request, licences.PROPOSE)
        version = _version(request, row)
        return _answer(licences.withdraw(row, actor=person(request), version=version))
