"""Name the permit issuer's addresses."""

from django.urls import path

from deployer import issuer_views

urlpatterns = [
    path("healthz", issuer_views.healthz),
    path("readyz", issuer_views.readyz),
    path("keys", issuer_views.keys),
    path("permits/renew", issuer_views.renew),
    path("routes", issuer_views.routes),
]
