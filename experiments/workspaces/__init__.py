"""Workspaces: JupyterLab behind the wall of the sandbox, for one person and one extract, and the proxy before it.

``desk`` starts and ends what runs inside (``inside``); ``proxy`` lets a browser in by ``routes``, ``messages`` and
``shown_output``, which say what may pass; ``versions`` keeps the study's folder; ``packages`` the mirror.
"""
