"""Hold every setting of the control plane; the environment is read only through `config.env`."""

from pathlib import Path
from typing import Any

import environ

from config.env import env_bool, env_int, env_list, env_secret, env_str

BASE_DIR = Path(__file__).resolve().parent.parent
LICTOR_VAR = Path(env_str("LICTOR_VAR", str(BASE_DIR / "var")))
LICTOR_BLOBS = Path(env_str("LICTOR_BLOBS", str(LICTOR_VAR / "blobs")))
LICTOR_KEYS = Path(env_str("LICTOR_KEYS", str(LICTOR_VAR / "keys")))
# A folder of licence records over the bundled catalogue; docs/writing-a-licence.md says how.
LICTOR_LICENCES = env_str("LICTOR_LICENCES", "")

DEBUG = env_bool("LICTOR_DEBUG", default=False)
SECRET_KEY = env_secret(
    "LICTOR_SECRET_KEY", debug_default="debug-only-not-a-secret" * 3 if DEBUG else None
)
ALLOWED_HOSTS = env_list("LICTOR_ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env_list("LICTOR_TRUSTED_ORIGINS", [])

# How processes find each other.
LICTOR_ISSUER_URL = env_str("LICTOR_ISSUER_URL", "http://127.0.0.1:8402")
LICTOR_GATEWAY_URL = env_str("LICTOR_GATEWAY_URL", "http://127.0.0.1:8401")
LICTOR_GATEWAY_TOKEN = env_secret(
    "LICTOR_GATEWAY_TOKEN", debug_default="debug-gateway-token" if DEBUG else ""
)
LICTOR_PERMIT_TTL_SECONDS = env_int("LICTOR_PERMIT_TTL_SECONDS", 5)
# Hosts whose pages the server may read to see whether a badge is shown; none unless named.
LICTOR_PAGE_HOSTS = env_list("LICTOR_PAGE_HOSTS", [])
# The Hub that the server reads watched repositories from; none unless named, as it goes outside.
LICTOR_HUB_ENDPOINT = env_str("LICTOR_HUB_ENDPOINT", "")
LICTOR_HUB_TOKEN = env_secret("LICTOR_HUB_TOKEN", debug_default="")
LICTOR_REPLICA_THREADS = env_int("LICTOR_REPLICA_THREADS", 1)
# Compiling takes a core for a minute at each start; worth it for a replica that stays busy.
LICTOR_REPLICA_COMPILE = env_bool("LICTOR_REPLICA_COMPILE", default=False)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "registry",
    "compliance",
    "deployer",
    "dashboard",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.middleware.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "dashboard.context.navigation",
            ]
        },
    }
]

_database = environ.Env.db_url_config(
    env_str("DATABASE_URL", f"sqlite:///{LICTOR_VAR / 'lictor.sqlite3'}")
)
if "sqlite" in _database["ENGINE"]:
    # IMMEDIATE takes the write lock when a transaction starts: SQLite has no row locks, and a
    # transaction that upgrades from read to write cannot wait for the lock, it fails.
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "registry.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = LICTOR_VAR / "static"
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# Cookies and transport. LICTOR_TLS=0 is for a single host behind no proxy, as in the demo.
_tls = env_bool("LICTOR_TLS", default=not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = _tls
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if _tls else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _tls
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "registry.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["registry.auth.IsOrganisationMember"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "registry.http.CursorPages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "registry.http.problem_handler",
    "PAGE_SIZE": 50,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Lictor",
    "DESCRIPTION": "Licensing-aware model registry and deployment governance.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_NAME_OVERRIDES": {
        "CheckpointKindEnum": "registry.models.Checkpoint.Kind",
        "TargetKindEnum": "deployer.models.Target.Kind",
        "DutyStateEnum": "compliance.models.Duty.State",
        "ReplicaStateEnum": "deployer.models.Replica.State",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# The broker carries hints only (reliability: the database row is the promise), JSON only.
REDIS_URL = env_str("REDIS_URL", "redis://127.0.0.1:6379/0")


def _broker(url: str) -> str:
    """Celery spells a unix socket `redis+socket://`, the redis client `unix://`."""
    return url.replace("unix://", "redis+socket://", 1)


CELERY_BROKER_URL = _broker(REDIS_URL)
CELERY_TASK_DEFAULT_QUEUE = env_str("LICTOR_QUEUE", "lictor")
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SOFT_TIME_LIMIT = 270
CELERY_TASK_TIME_LIMIT = 300
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 900,
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
}
# A hint that cannot be sent is dropped at once: the sweep finds the row.
CELERY_TASK_PUBLISH_RETRY = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env_str("LICTOR_LOG_LEVEL", "INFO")},
}
