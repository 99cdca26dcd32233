from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "erios.accounts"
    label = "accounts"
