from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "erios.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Where the portal's libraries are installed, what they write is sealed; a cluster's job writes nothing."""
        from django.apps import apps

        if apps.is_installed("allauth.account"):
            from erios.accounts.credentials import watch

            watch()
