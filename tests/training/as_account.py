"""Run `erios` as another account of this machine: ``python -m tests.training.as_account UID FOLDER ARGUMENT…``.

Everything is imported before the account changes, so that Python's own folders need not be open to it.
"""

from __future__ import annotations

import os
import sys

import erios.broker.client
import erios.cli
import erios.cli.exits
import erios.cli.forwarding
import erios.settings

if __name__ == "__main__":
    uid, folder, *arguments = sys.argv[1:]
    os.setgroups([])
    os.setresgid(int(uid), int(uid), int(uid))
    os.setresuid(int(uid), int(uid), int(uid))
    os.environ["HOME"] = folder
    os.chdir(folder)
    if arguments[0] == "read":
        for path in arguments[1:]:
            sys.stdout.write(f"{path} {os.access(path, os.R_OK)}\n")
        raise SystemExit(0)
    sys.argv = ["erios", *arguments]
    erios.cli.main()
