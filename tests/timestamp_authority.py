"""A time-stamping authority (RFC 3161) on loopback: openssl signs, this serves. For tests of anchors."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIGURATION = """
[tsa]
default_tsa = one
[one]
serial = serial
crypto_device = builtin
signer_cert = authority.pem
signer_key = key.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_chain = no
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass
class Authority:
    """Its address, its root certificate, and how many were stamped; ``answer``: what it says instead of a stamp."""

    folder: Path
    url: str = ""
    stamped: int = 0
    answer: bytes | None = None

    @property
    def root(self) -> Path:
        """The root certificate."""
        return self.folder / "root.pem"

    def stamp(self, query: bytes) -> bytes:
        """The reply to a query, signed."""
        self.stamped += 1
        (self.folder / "query.tsq").write_bytes(query)
        self.run("ts", "-reply", "-config", "conf", "-queryfile", "query.tsq", "-out", "reply.tsr")
        return (self.folder / "reply.tsr").read_bytes()

    def run(self, *arguments: str) -> None:
        """One openssl command in its folder."""
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


def make_authority(folder: Path, name: str = "erios test root") -> Authority:
    """A root, and a signer of it that may stamp times and nothing else."""
    folder.mkdir()
    authority = Authority(folder)
    (folder / "conf").write_text(CONFIGURATION.format(name=name))
    (folder / "leaf").write_text(CONFIGURATION.format(name=f"{name}, signer"))
    (folder / "serial").write_text("01\n")
    new = ["req", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    authority.run(*new, "-x509", "-config", "conf", "-extensions", "root", "-keyout", "root.key", "-out", "root.pem")
    authority.run(*new, "-config", "leaf", "-keyout", "key.pem", "-out", "request.pem")
    signing = ["-CA", "root.pem", "-CAkey", "root.key", "-extfile", "conf", "-extensions", "leaf", "-days", "30"]
    authority.run("x509", "-req", "-in", "request.pem", *signing, "-out", "authority.pem")
    return authority


@contextmanager
def serving(authority: Authority) -> Iterator[Authority]:
    """The authority at ``url`` while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            answer = authority.stamp(query) if authority.answer is None else authority.answer
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        authority.url = f"http://127.0.0.1:{server.server_address[1]}/tsa"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield authority
        server.shutdown()
        thread.join()
