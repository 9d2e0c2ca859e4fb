"""Name the registry's part of `/api/v1/`."""

from django.urls import path

from registry.api.blobs import MissingBlobs, OneBlob
from registry.api.checkpoints import Checkpoints, Lineage, MemoryPlan, Models, OneCheckpoint
from registry.api.imports import Imports, OneWatch, Watches
from registry.api.ledger import Ledger, LedgerExport
from registry.api.tokens import OneToken, Tokens

urlpatterns = [
    path("models/", Models.as_view()),
    path("checkpoints/", Checkpoints.as_view()),
    path("checkpoints/<uuid:pk>/", OneCheckpoint.as_view()),
    path("checkpoints/<uuid:pk>/memory-plan/", MemoryPlan.as_view()),
    path("lineage/<uuid:pk>/", Lineage.as_view()),
    path("blobs/missing/", MissingBlobs.as_view()),
    path("blobs/<str:sha256>/", OneBlob.as_view()),
    path("imports/", Imports.as_view()),
    path("watches/", Watches.as_view()),
    path("watches/<uuid:pk>/", OneWatch.as_view()),
    path("ledger/", Ledger.as_view()),
    path("ledger/export/", LedgerExport.as_view()),
    path("tokens/", Tokens.as_view()),
    path("tokens/<uuid:pk>/", OneToken.as_view()),
]
