"""Name every page of the dashboard."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from dashboard.views import checkpoints, endpoints, ledger, licences, matters, overview, reviews

app_name = "dashboard"
urlpatterns = [
    path("login/", LoginView.as_view(template_name="dashboard/login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("", overview.show, name="overview"),
    path("organisation/", overview.switch, name="switch"),
    path("checkpoints/", checkpoints.index, name="checkpoints"),
    path("checkpoints/<uuid:pk>/", checkpoints.show, name="checkpoint"),
    path("checkpoints/<uuid:pk>/review/", checkpoints.open_review, name="open-review"),
    path("checkpoints/<uuid:pk>/pin/", checkpoints.pin, name="pin"),
    path("reviews/", reviews.index, name="reviews"),
    path("reviews/<uuid:pk>/", reviews.show, name="review"),
    path("reviews/<uuid:pk>/decide/", reviews.decide, name="decide"),
    path("matters/", matters.index, name="matters"),
    path("matters/declare/", matters.declare, name="declare-matter"),
    path("endpoints/", endpoints.index, name="endpoints"),
    path("endpoints/<uuid:pk>/", endpoints.show, name="endpoint"),
    path("endpoints/<uuid:pk>/stop/", endpoints.stop, name="stop-endpoint"),
    path("endpoints/<uuid:pk>/chat/", endpoints.chat, name="chat"),
    path("licences/", licences.index, name="licences"),
    path("licences/<str:key>/", licences.show, name="licence"),
    path("ledger/", ledger.index, name="ledger"),
]
