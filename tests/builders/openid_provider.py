"""A small OpenID provider, a process of its own: discovery, keys, authorization code with PKCE (S256).

    python openid_provider.py PORT

Who logs in and how it misbehaves is told by POST /told (a JSON object): `claims` of the ID token,
`sign_with_other` (a key that is not published), `algorithm`, `forget_nonce`. It checks client secret,
redirect URI and verifier itself.
"""

import json
import secrets
import sys
from base64 import b64decode, urlsafe_b64encode
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from turnup.kernel.clock import SystemClock

CLIENT, SECRET = "turnup", "provider-hush"
KEY, OTHER = (ECKey.generate_key("P-256", {"use": "sig", "kid": "one"}) for _ in range(2))


class Provider(BaseHTTPRequestHandler):
    told: dict = {"claims": {}}
    codes: dict = {}

    def do_GET(self):
        where = urlsplit(self.path)
        issuer = f"http://127.0.0.1:{self.server.server_port}"
        if where.path == "/.well-known/openid-configuration":
            self.answer(
                {
                    "issuer": issuer,
                    "authorization_endpoint": f"{issuer}/authorize",
                    "token_endpoint": f"{issuer}/token",
                    "jwks_uri": f"{issuer}/jwks",
                }
            )
        elif where.path == "/jwks":
            self.answer({"keys": [KEY.as_dict(private=False)]})
        elif where.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(where.query).items()}
            assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
            assert asked["client_id"] == CLIENT and "openid" in asked["scope"].split()
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked
            back = urlencode({"code": code, "state": asked["state"], "iss": issuer})
            self.send_response(302)
            self.send_header("Location", f"{asked['redirect_uri']}?{back}")
            self.end_headers()
        else:
            self.answer({}, 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/told":
            type(self).told = json.loads(body)
            self.answer({})
            return
        form = {name: values[0] for name, values in parse_qs(body).items()}
        asked = self.codes.pop(form.get("code"), None)
        login = b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        challenge = urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        right = (
            asked is not None
            and login == f"{CLIENT}:{SECRET}"
            and form["redirect_uri"] == asked["redirect_uri"]
            and challenge.decode() == asked["code_challenge"]
        )
        if not right:
            self.answer({"error": "invalid_grant"}, 400)
            return
        self.answer({"access_token": "x", "token_type": "Bearer", "id_token": self.id_token(asked)})

    def id_token(self, asked):
        told, now = self.told, int(SystemClock().now().timestamp())
        claims = {
            "iss": f"http://127.0.0.1:{self.server.server_port}",
            "aud": CLIENT,
            "sub": "sub-anna",
            "iat": now,
            "exp": now + 300,
            "nonce": "another" if told.get("forget_nonce") else asked["nonce"],
            **told["claims"],
        }
        algorithm = told.get("algorithm", "ES256")
        key = OTHER if told.get("sign_with_other") else KEY
        if algorithm == "HS256":  # the client's secret as the key: the classic confusion
            key = OctKey.import_key(SECRET.encode() * 3)
        return jwt.encode({"alg": algorithm, "kid": "one"}, claims, key, algorithms=[algorithm])

    def answer(self, document, status=200):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Provider)
    print(server.server_port, flush=True)
    server.serve_forever()
