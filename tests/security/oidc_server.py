"""A small OpenID Connect provider for tests: everybody who asks is logged in as the one it says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit


class Provider:
    """What the provider answers.

    Attributes:
        claims: of the user who is logged in by the next request.
        url: its address.
    """

    def __init__(self) -> None:
        from joserfc.jwk import RSAKey

        self.key = RSAKey.generate_key(2048, parameters={"kid": "k", "use": "sig", "alg": "RS256"})
        self.claims: dict[str, Any] = {}
        self.nonces: dict[str, str] = {}
        self.url = ""

    def token(self, code: str, audience: str) -> str:
        """A signed identity token."""
        from joserfc import jwt

        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": audience,
            "iat": now,
            "exp": now + 600,
            "sub": "1",
            "nonce": self.nonces.pop(code, ""),
            **self.claims,
        }
        return str(jwt.encode({"alg": "RS256", "kid": "k"}, claims, self.key))


@contextmanager
def running() -> Iterator[Provider]:
    """A provider on a free port."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def say(self, data: Any) -> None:
            body = json.dumps(data).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            where = urlsplit(self.path)
            asked = {key: value[0] for key, value in parse_qs(where.query).items()}
            if where.path == "/.well-known/openid-configuration":
                self.say(
                    {
                        "issuer": provider.url,
                        "authorization_endpoint": f"{provider.url}/authorize",
                        "token_endpoint": f"{provider.url}/token",
                        "jwks_uri": f"{provider.url}/keys",
                        "response_types_supported": ["code"],
                        "subject_types_supported": ["public"],
                        "id_token_signing_alg_values_supported": ["RS256"],
                        "code_challenge_methods_supported": ["S256"],
                    }
                )
            elif where.path == "/keys":
                self.say({"keys": [provider.key.as_dict(private=False)]})
            else:
                code = f"code-{time.monotonic_ns()}"
                provider.nonces[code] = asked.get("nonce", "")
                back = urlencode({"code": code, "state": asked["state"]})
                self.send_response(302)
                self.send_header("Location", f"{asked['redirect_uri']}?{back}")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def do_POST(self) -> None:
            given = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.say(
                {
                    "access_token": "a",
                    "token_type": "Bearer",
                    "expires_in": 600,
                    "id_token": provider.token(given["code"][0], "crucible"),
                }
            )

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield provider
        server.shutdown()
        thread.join()
