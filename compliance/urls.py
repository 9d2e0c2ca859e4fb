"""Name compliance's part of `/api/v1/`."""

from django.urls import URLPattern, URLResolver, path

from compliance.api import assessments, evidence, matters, reviews

urlpatterns: list[URLPattern | URLResolver] = [
    path("licences/", assessments.Licences.as_view()),
    path("licences/<str:key>/", assessments.OneLicence.as_view()),
    path("assessments/", assessments.Assessments.as_view()),
    path("assessments/<uuid:pk>/", assessments.OneAssessment.as_view()),
    path("licence-pins/", assessments.LicencePins.as_view()),
    path("waivers/", assessments.Waivers.as_view()),
    path("waivers/<uuid:pk>/revoke/", assessments.RevokeWaiver.as_view()),
    path("evidence/", evidence.EvidenceList.as_view()),
    path("evidence/measure/", evidence.Measure.as_view()),
    path("evidence/jobs/<uuid:pk>/", evidence.OneJob.as_view()),
    path("evidence/<uuid:pk>/", evidence.OneEvidence.as_view()),
    path("reviews/", reviews.Reviews.as_view()),
    path("reviews/<uuid:pk>/", reviews.OneReview.as_view()),
    path("reviews/<uuid:pk>/decide/", reviews.Decide.as_view()),
    path("reviews/<uuid:pk>/withdraw/", reviews.Withdraw.as_view()),
    path("matters/", matters.Matters.as_view()),
    path("matters/what-if/", matters.WhatIf.as_view()),
    path("matters/<uuid:pk>/", matters.OneMatter.as_view()),
    path("matters/<uuid:pk>/file/", matters.FileMatter.as_view()),
    path("matters/<uuid:pk>/withdraw/", matters.WithdrawMatter.as_view()),
]
