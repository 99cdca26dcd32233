"""An OpenID Connect directory on the loopback: discovery, authorisation, token and keys over real HTTP.

It does what the standard asks of the code flow: a code works once and for the client whose secret and PKCE verifier
fit, the identity token is signed with RS256.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET, KEY_ID = "erios", "the client's secret", "key-1"


@dataclass
class Directory:
    """The state of the directory: who is at its login page, with which claims."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser is sent back to, with a code."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def exchange(self, said: dict[str, str]) -> dict[str, Any] | None:
        """Tokens for a code, once."""
        asked = self.codes.pop(said.get("code", ""), {})
        digest = hashlib.sha256(said.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        told = (said.get("client_id"), said.get("client_secret"), challenge)
        if not asked or told != (CLIENT, SECRET, asked["code_challenge"]):
            return None
        token = secrets.token_urlsafe(16)
        self.tokens[token] = self.claims
        return {"access_token": token, "token_type": "Bearer", "id_token": self._identity()}

    def _identity(self) -> str:
        now = int(time.time())
        said = {**self.claims, "iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60}
        return jwt.encode(said, self.key, algorithm="RS256", headers={"kid": KEY_ID})

    def documents(self) -> dict[str, Any]:
        """What anybody may read, by path."""
        places = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        ends = {f"{name}_endpoint": f"{self.issuer}/{place}" for name, place in places.items()}
        known = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
                **ends,
            },
            "/keys": {"keys": [{**known, "kid": KEY_ID, "alg": "RS256", "use": "sig"}]},
        }


def _handler(directory: Directory) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            if asked.path == "/authorize":
                self._answer(302, b"", directory.authorize(dict(parse_qsl(asked.query))))
            elif asked.path == "/userinfo":
                self._say(directory.tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer ")))
            else:
                self._say(directory.documents().get(asked.path))

        def do_POST(self) -> None:
            said = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            self._say(directory.exchange(dict(parse_qsl(said))))

        def _say(self, document: Any) -> None:
            self._answer(403 if document is None else 200, json.dumps(document).encode())

        def _answer(self, status: int, body: bytes, location: str = "") -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Location": location}.items():
                if value:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_said: Any) -> None:
            """Nothing: the test says what it sees."""

    return Handler


@contextmanager
def open_directory() -> Iterator[Directory]:
    """A directory that answers while the block runs."""
    directory = Directory()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(directory)) as server:
        directory.issuer = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield directory
        finally:
            server.shutdown()
            thread.join()
