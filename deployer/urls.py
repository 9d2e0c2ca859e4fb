"""Name the deployer's part of `/api/v1/`."""

from django.urls import path

from deployer.api import views

urlpatterns = [
    path("targets/", views.Targets.as_view()),
    path("endpoints/", views.Endpoints.as_view()),
    path("endpoints/<uuid:pk>/", views.OneEndpoint.as_view()),
    path("endpoints/<uuid:pk>/stop/", views.StopEndpoint.as_view()),
    path("endpoints/<uuid:pk>/keys/", views.EndpointKeys.as_view()),
    path("endpoints/<uuid:pk>/keys/<uuid:key>/", views.OneEndpointKey.as_view()),
    path("deployments/", views.Deployments.as_view()),
    path("permits/", views.Permits.as_view()),
]
