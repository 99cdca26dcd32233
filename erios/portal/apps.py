from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "erios.portal"
    label = "portal"
