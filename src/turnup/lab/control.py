"""The control channel: JSON lines over loopback TCP, one request and one answer a line.

Request `{"token": ..., "op": ..., ARGUMENTS}`; answer `{"ok": true, "result": ...}`
or `{"ok": false, "error": ...}`.
"""

import asyncio
import hmac
import json
import socket

from turnup.lab.operations import Operations

LINE_OCTETS_MAX = 16 * 1024 * 1024


class ControlServer:
    """Serves operations to whoever has the token."""

    def __init__(self, operations: Operations, token: str) -> None:
        self._operations = operations
        self._token = token.encode()

    async def serve(self, sock: socket.socket) -> None:
        """Listen on an already bound socket."""
        await asyncio.start_server(self._client, sock=sock, limit=LINE_OCTETS_MAX)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass  # the caller went away, or sent a line beyond the limit
        finally:
            writer.close()

    def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            token = str(request.pop("token", ""))
            op = str(request.pop("op", ""))
        except (ValueError, AttributeError):
            return {"ok": False, "error": "not a JSON object"}
        if not hmac.compare_digest(token.encode(), self._token):
            return {"ok": False, "error": "token: wrong or missing; it is in endpoints.json"}
        try:
            return {"ok": True, "result": self._operations.call(op, request)}
        except (ValueError, KeyError, TypeError) as error:
            return {"ok": False, "error": str(error)}
        except Exception as error:  # noqa: BLE001  TlosError and the like: the caller must hear of it
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}
