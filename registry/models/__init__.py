"""Export the registry's tables: accounts, catalogue, imports, ledger, plumbing."""

from registry.models.accounts import ApiToken, Membership, Organisation, User
from registry.models.catalogue import Blob, Checkpoint, DatasetUse, LineageEdge, Model
from registry.models.imports import HubImport, HubWatch
from registry.models.ledger import LedgerEntry, LedgerHead, SignedRoot
from registry.models.plumbing import IdempotencyRecord, OutboxEvent
from registry.models.scoped import OrgQuerySet, OrgScoped

__all__ = [
    "ApiToken",
    "Blob",
    "Checkpoint",
    "DatasetUse",
    "HubImport",
    "HubWatch",
    "IdempotencyRecord",
    "LedgerEntry",
    "LedgerHead",
    "LineageEdge",
    "Membership",
    "Model",
    "OrgQuerySet",
    "OrgScoped",
    "Organisation",
    "OutboxEvent",
    "SignedRoot",
    "User",
]
