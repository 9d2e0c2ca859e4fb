"""Serve the permit issuer (`gunicorn config.issuer_wsgi`)."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
settings.ROOT_URLCONF = "config.issuer_urls"
settings.SECURE_SSL_REDIRECT = False
application = get_wsgi_application()
