from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "registry"
    verbose_name = "Registry"

    def ready(self) -> None:
        from registry import outbox
        from registry.api import schema  # noqa: F401  - registers the token scheme
        from registry.tasks import relay_outbox

        outbox.set_hint(lambda: relay_outbox.delay())
