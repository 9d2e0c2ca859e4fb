from django.apps import AppConfig


class DeployerConfig(AppConfig):
    name = "deployer"
    verbose_name = "Deployer"

    def ready(self) -> None:
        from deployer import receivers

        receivers.connect()
