"""What runs inside a workspace's sandbox: JupyterLab, on the socket that it is handed.

Its settings are here and in no file. None of them guards anything: whoever runs code inside may change this server; the
wall around it and the proxy before it hold.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from jupyter_server.serverapp import ServerApp
from traitlets.config import Config

_WITHOUT = (
    "@jupyterlab/apputils-extension:announcements",
    "@jupyterlab/debugger-extension",
    "@jupyterlab/docmanager-extension:download",
    "@jupyterlab/extensionmanager-extension",
    "@jupyterlab/filebrowser-extension:download",
    "@jupyterlab/hub-extension",
    "@jupyterlab/javascript-extension",
    "@jupyterlab/lsp-extension",
    "@jupyterlab/notebook-extension:export",
    "@jupyterlab/notebook-extension:lsp",
    "@jupyterlab/terminal-extension",
)
"""Parts of JupyterLab that speak to what a workspace does not have, so that nobody is offered them."""


class HandedServer(ServerApp):
    """A server that looks for no address: it has a socket that somebody listens on already."""

    handed = -1

    def _find_http_port(self) -> None:
        """Nothing to find."""

    def _bind_http_server(self) -> None:
        """Answer on the socket that was handed in."""
        handed = socket.socket(fileno=self.handed)
        handed.setblocking(False)
        self.http_server.add_socket(handed)


def settings_of(assets: str, study: str) -> Config:
    """JupyterLab as a workspace has it: no terminal, no news, no extensions, no address of its own.

    ``assets``: the folder of JupyterLab's own files; ``study``: the folder that it shows.
    """
    server = {
        "root_dir": study,
        "allow_root": True,
        "allow_remote_access": True,
        "open_browser": False,
        "quit_button": False,
        "terminals_enabled": False,
        "disable_check_xsrf": True,
        "base_url": "/",
        "mathjax_url": "",
        "jpserver_extensions": {
            "jupyterlab": True,
            "jupyter_lsp": False,
            "jupyter_server_terminals": False,
            "notebook_shim": False,
        },
    }
    lab = {
        "app_dir": assets,
        "user_settings_dir": "/tmp/jupyter/settings",
        "workspaces_dir": "/tmp/jupyter/workspaces",
        "extension_manager": "readonly",
        "expose_app_in_browser": False,
        "page_config_data": {"disabledExtensions": dict.fromkeys(_WITHOUT, True), "news": {"disabled": True}},
    }
    return Config(
        HandedServer=server,
        LabApp=lab,
        IdentityProvider={"token": ""},
        MappingKernelManager={"cull_idle_timeout": 0},
    )


def main(descriptor: str, assets: str, study: str) -> None:
    """Serve until the end."""
    HandedServer.handed = int(descriptor)
    Path(os.environ["PIP_TARGET"]).mkdir(exist_ok=True)  # a kernel looks into no folder that came after it began
    HandedServer.launch_instance(argv=[], config=settings_of(assets, study))


if __name__ == "__main__":
    main(*sys.argv[1:])
