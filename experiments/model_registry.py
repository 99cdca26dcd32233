"""The registry of models: which version of which model is in use, by its alias.

Owns the names of aliases. Whether a model may get one is decided by the roof.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.errors import TrackingError
from experiments.recorder import make_client
from experiments.run_spec import RunSpec

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"


def register(spec: RunSpec, mlflow_run: str, name: str, alias: str) -> str:
    """Make the model of an MLflow run a version of the model ``name`` and give it the alias; answers ``name vN``.

    A run's model is one version, however often it is registered. TrackingError where the run has no model.
    """
    client = make_client(spec)
    outputs = client.get_run(mlflow_run).outputs
    if outputs is None or not outputs.model_outputs:
        raise TrackingError(f"the record of {spec.run} holds no model")
    model = client.get_logged_model(outputs.model_outputs[0].model_id)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    versions = [each for each in client.search_model_versions(f"name = '{name}'") if each.run_id == mlflow_run]
    version = versions[0] if versions else _make_version(client, name, model, mlflow_run)
    client.set_registered_model_alias(name, alias, version.version)
    return f"{name} v{version.version}"


def _make_version(client: MlflowClient, name: str, model: LoggedModel, mlflow_run: str) -> ModelVersion:
    return client.create_model_version(name, model.artifact_location, mlflow_run, model_id=model.model_id)
