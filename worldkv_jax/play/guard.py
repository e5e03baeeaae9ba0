"""Who may speak to the server: tokens, names of hosts, origins, and how many connections and messages."""

import collections
import hmac
import secrets
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "worldkv_token"
MESSAGES_A_SECOND = 120
_BURST = 360
_OPEN = ("/health",)
_LEAST_TOKEN = 16
_LONGEST_PATH = 200


class Guard:
    """Checks each request before anything else sees it.

    On loopback a page of another site could still reach the server through the visitor's browser: so the name that was
    asked for must be the server's (DNS rebinding), and so must the page's origin. Elsewhere a token is needed.
    """

    def __init__(self, host: str, *, token: str | None, hosts: Iterable[str] = ()):
        """Make a guard.

        Args:
            host: address that the server listens on.
            token: what clients have to know; ``None`` on loopback alone.
            hosts: other names that the server is reached by.

        Raises:
            ValueError: another address than loopback without a token, or a token that could be guessed.
        """
        self._local = host in LOOPBACK
        if token is None and not self._local:
            raise ValueError(f"{host} can be reached by others, so a token is needed")
        if token is not None and len(token) < _LEAST_TOKEN:
            raise ValueError(f"the token has {len(token)} characters; give at least {_LEAST_TOKEN}")
        self.token = token
        self._hosts = {*LOOPBACK, host, *hosts}
        self._any_host = not self._local and not hosts
        self._connected: collections.Counter[str] = collections.Counter()

    @web.middleware
    async def check(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let a request through, or answer it."""
        if len(request.path) > _LONGEST_PATH:  # no file has such a name, and asking for it is an error of the system
            raise web.HTTPRequestURITooLong(text="there is no such long address\n")
        if not self._any_host and _name(request.host) not in self._hosts:
            raise web.HTTPMisdirectedRequest(text="this server is not called so; start it with --allow-host NAME\n")
        origin = request.headers.get("Origin")
        if origin is not None and _split(origin).netloc != request.host:
            raise web.HTTPForbidden(text="pages of other sites may not speak to this server\n")
        if self.token is not None and request.path not in _OPEN:
            if _same(request.query.get("token"), self.token) and request.path == "/":
                # Out of the address, so that it is not shared with it.
                query = {name: value for name, value in request.query.items() if name != "token"}
                answer = web.HTTPFound(request.url.with_query(query).relative())
                answer.set_cookie(COOKIE, self.token, httponly=True, samesite="Strict")
                raise answer
            if not self._knows(request):
                raise web.HTTPUnauthorized(text="a token is needed: open the address that the server printed\n")
        return await handler(request)

    def connect(self, address: str, most: int) -> bool:
        """Count a connection; tell whether its client may have it."""
        if self._connected[address] >= most:
            return False
        self._connected[address] += 1
        return True

    def disconnect(self, address: str) -> None:
        """Count a connection that ended."""
        self._connected[address] -= 1
        if self._connected[address] <= 0:
            del self._connected[address]

    def _knows(self, request: web.Request) -> bool:
        kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = [request.cookies.get(COOKIE), request.query.get("token"), bearer if kind.lower() == "bearer" else None]
        return any(_same(one, self.token) for one in given)


class Rate:
    """Lets so many messages a second through, and some more at once."""

    def __init__(self):
        self._left, self._since = float(_BURST), time.monotonic()

    def allows(self) -> bool:
        """Count a message; tell whether it is within the limit."""
        now = time.monotonic()
        self._left = min(_BURST, self._left + (now - self._since) * MESSAGES_A_SECOND)
        self._since = now
        self._left -= 1
        return self._left >= 0


def make_token() -> str:
    """Draw a token."""
    return secrets.token_urlsafe(24)


def _name(host: str) -> str:
    """Return the name of a host without its port."""
    return _split(f"//{host}").hostname or ""


def _split(address: str) -> urllib.parse.SplitResult:
    """Return the parts of an address, none of what is no address: a stranger may send anything."""
    try:
        return urllib.parse.urlsplit(address)
    except ValueError:
        return urllib.parse.SplitResult("", "", "", "", "")


def _same(given: str | None, token: str | None) -> bool:
    if given is None or token is None:
        return False
    # Headers may have bytes that are no text.
    return hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode())
