from django.apps import AppConfig


class StudiesConfig(AppConfig):
    name = "erios.studies"
    label = "studies"
