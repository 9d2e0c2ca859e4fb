"""Serve an organisation's policies: write, check, try out, activate, retire."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compliance import selectors_policies as selectors
from compliance.api.lookups import person
from compliance.models import PolicyDryRun, PolicyVersion
from compliance.policy.document import MAX_BYTES
from compliance.policy.trial import untested_rules
from compliance.services import policies, policy_dry_runs
from registry.api.views import RoomView, own, require
from registry.auth import organisation_of
from registry.errors import NotFound
from registry.etag import expected_version, with_etag


class PolicyDocumentIn(serializers.Serializer[Any]):
    document = serializers.CharField(
        max_length=MAX_BYTES, trim_whitespace=False, help_text="YAML; see docs/policies.md"
    )


class PolicyIn(PolicyDocumentIn):
    reason = serializers.CharField(max_length=4000, help_text="what the version changes")


class PolicyTestOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    passed = serializers.BooleanField()
    faults = serializers.ListField(child=serializers.CharField())


class PolicyCheckOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    rules = serializers.ListField(child=serializers.CharField())
    tests = PolicyTestOut(many=True)
    untested = serializers.ListField(child=serializers.CharField())


class PolicyOut(serializers.ModelSerializer[PolicyVersion]):
    author = serializers.CharField(source="author_name")
    activated_by = serializers.CharField(source="activated_by_name")
    retired_by = serializers.CharField(source="retired_by_name")
    state = serializers.CharField()

    class Meta:
        model = PolicyVersion
        fields = [
            "id",
            "number",
            "name",
            "state",
            "version",
            "digest",
            "rules_digest",
            "reason",
            "author",
            "created_at",
            "activated_by",
            "activated_at",
            "retired_by",
            "retired_at",
        ]


class PolicyDetailOut(PolicyOut):
    tests = serializers.SerializerMethodField()
    untested = serializers.SerializerMethodField()
    diff = serializers.SerializerMethodField()

    class Meta(PolicyOut.Meta):
        fields = [*PolicyOut.Meta.fields, "document", "tests", "untested", "diff"]

    @extend_schema_field(PolicyTestOut(many=True))
    def get_tests(self, row: PolicyVersion) -> Any:
        return PolicyTestOut(policies.trials_of(row), many=True).data

    def get_untested(self, row: PolicyVersion) -> list[str]:
        return list(policies.untested_of(row))

    def get_diff(self, row: PolicyVersion) -> list[str]:
        """Give the lines that differ from the version before."""
        lines = selectors.difference(selectors.previous(row), row)
        return [line.text if line.sign == "@" else line.sign + line.text for line in lines]


class PolicyDryRunOut(serializers.ModelSerializer[PolicyDryRun]):
    policy = serializers.UUIDField(source="policy_id")
    against = serializers.UUIDField(source="against_id", allow_null=True)
    state = serializers.CharField()
    result = serializers.DictField(allow_null=True)
    requested_by = serializers.CharField(source="requested_by_name")

    class Meta:
        model = PolicyDryRun
        fields = [
            "id",
            "policy",
            "against",
            "state",
            "done",
            "total",
            "message",
            "result",
            "requested_by",
            "created_at",
            "finished_at",
        ]


def _answer(row: PolicyVersion, status: int = 200) -> Response:
    return with_etag(Response(PolicyDetailOut(row).data, status=status), row.version)


def _named(request: Request, pk: UUID) -> PolicyVersion:
    rows = selectors.versions(organisation_of(request)).select_related("organisation")
    return own(request, rows, pk)


def _version(request: Request, row: PolicyVersion) -> int | None:
    """Hold the caller to If-Match where it is sent; the state itself guards the rest."""
    return expected_version(request, row.version) if "If-Match" in request.headers else None


class Policies(RoomView):
    @extend_schema(operation_id="policies_list", responses=PolicyOut(many=True))
    def get(self, request: Request) -> Response:
        """List the versions of your organisation's policy, newest first."""
        require(request, "policy.read")
        return self.page(selectors.versions(organisation_of(request)), PolicyOut)

    @extend_schema(request=PolicyIn, responses={201: PolicyDetailOut})
    def post(self, request: Request) -> Response:
        """Write the next version; it counts for nothing until somebody else activates it."""
        require(request, policies.WRITE)
        fields = self.body(PolicyIn)
        row = policies.save(organisation_of(request), actor=person(request), **fields)
        return _answer(row, 201)


class CheckPolicy(RoomView):
    @extend_schema(request=PolicyDocumentIn, responses=PolicyCheckOut)
    def post(self, request: Request) -> Response:
        """Check a document and run its own tests; writes nothing."""
        require(request, policies.WRITE)
        policy, ran = policies.check(self.body(PolicyDocumentIn)["document"])
        found = {
            "name": policy.name,
            "rules": [rule.id for rule in policy.rules],
            "tests": ran,
            "untested": list(untested_rules(policy)),
        }
        return Response(PolicyCheckOut(found).data)


class ActivePolicy(RoomView):
    @extend_schema(operation_id="policies_active", responses=PolicyDetailOut)
    def get(self, request: Request) -> Response:
        """Read the version in force; 404 when there is none."""
        require(request, "policy.read")
        row = selectors.active_version(organisation_of(request))
        if row is None:
            raise NotFound("No policy is in force; the licences alone count.")
        return _answer(row)


class OnePolicy(RoomView):
    @extend_schema(operation_id="policies_read", responses=PolicyDetailOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read one version with its document, its tests' outcome and what it changed."""
        require(request, "policy.read")
        return _answer(_named(request, pk))


class ActivatePolicy(RoomView):
    @extend_schema(request=None, responses=PolicyDetailOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Put a version in force; approvals whose outcome it changes become stale."""
        row = _named(request, pk)
        require(request, policies.ACTIVATE)
        version = _version(request, row)
        return _answer(policies.activate(row, actor=person(request), version=version))


class RetirePolicy(RoomView):
    @extend_schema(request=None, responses=PolicyDetailOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Take the version in force away, so that the licences alone count."""
        row = _named(request, pk)
        require(request, policies.ACTIVATE)
        version = _version(request, row)
        return _answer(policies.retire(row, actor=person(request), version=version))


class DryRunPolicy(RoomView):
    @extend_schema(request=None, responses={201: PolicyDryRunOut})
    def post(self, request: Request, pk: UUID) -> Response:
        """Say what the version would change over the whole inventory; a long one is queued."""
        row = _named(request, pk)
        run = policy_dry_runs.start(row, actor=person(request))
        return Response(PolicyDryRunOut(run).data, status=201)


class OneDryRun(RoomView):
    @extend_schema(operation_id="policies_dry_runs_read", responses=PolicyDryRunOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read a dry run: its progress, then its result."""
        require(request, "policy.read")
        rows = selectors.dry_runs(organisation_of(request))
        return Response(PolicyDryRunOut(own(request, rows, pk)).data)
