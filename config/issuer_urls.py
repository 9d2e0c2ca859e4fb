"""Mount the permit issuer alone: it runs as its own process, the only one with the permit key."""

from django.urls import include, path

urlpatterns = [path("", include("deployer.issuer_urls"))]
