"""One request to one server: the key, the proxies of the environment, and what comes back."""

import asyncio
import json
import os
import re
import socket
from dataclasses import replace
from typing import Any

import httpx
import openai

from archive_tools.llm.config import key_of, on_this_machine
from archive_tools.llm.faults import Fault, fault_in, fault_of
from envs.errors import InputError


class Transport:
    """A connection to a server.

    Args:
        address: of the server, without the path of the request.
        timeout: seconds until a request counts as lost.

    Raises:
        InputError: the key or the proxies of the environment cannot be used, or the address.
    """

    def __init__(self, address: str, timeout: float) -> None:
        self.address, self.timeout = address, timeout
        self._key = key_of(address)
        client = _http_client(address, timeout)
        try:
            self._openai = openai.AsyncOpenAI(
                api_key=self._key or "none",
                base_url=address,
                max_retries=0,
                timeout=timeout,
                http_client=client,
            )
        except Exception as error:  # a host that is no number of this machine's protocols, say
            raise InputError(f"--base-url {address}: no address ({error})") from None

    async def close(self) -> None:
        """Close all connections."""
        await self._openai.close()

    def hide(self, text: str) -> str:
        """The text without the key: a server that repeats it must not spread it."""
        return text.replace(self._key, "…") if self._key else text

    async def post(self, path: str, body: dict[str, Any]) -> str | Fault:
        """The body of the response to a chat completion request, as it came, or what is wrong."""
        try:
            async with asyncio.timeout(self.timeout):
                response = await self._openai.post(
                    f"{path}/chat/completions", cast_to=httpx.Response, body=body
                )
        except openai.APIStatusError as error:
            fault = fault_of(error.status_code, error.response.text, error.response.headers)
        except (TimeoutError, openai.APITimeoutError):
            return Fault("slow", f"no reply within {self.timeout:g} s")
        except Exception as error:  # of openai, and of what it talks through
            proxies = "" if on_this_machine(self.address) else _proxy_names()
            through = f", asked through the proxy of {proxies}" if proxies else ""
            fault = _no_answer(error.__cause__ or error)
            fault = replace(fault, words=fault.words + through)
        else:
            raw = _text(response)
            fault = fault_in(raw)
            if fault is None:
                return self.hide(raw)
        return replace(fault, words=self.hide(fault.words), raw=self.hide(fault.raw))


def _text(response: httpx.Response) -> str:
    """The body of a response; where its charset is not told it may be any that JSON knows."""
    found = json.detect_encoding(response.content)
    if found.startswith("utf-8") or response.charset_encoding:
        return response.text
    return response.content.decode(found, "replace")


class _Moved(Exception):
    """The address leads to another one, to which a POST does not go on by itself."""


async def _refuse_to_move(response: Any) -> None:
    """Without this, a POST would go on as a GET, which asks for nothing."""
    if response.status_code in (301, 302, 303):
        raise _Moved(f"{response.status_code} to {response.headers.get('location')!r}")


def _no_answer(error: BaseException) -> Fault:
    """Why there was no response: a server that may come, a passing fault, or a lasting one."""
    chain = [error]
    while inner := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(inner)
    # By name: the package that openai talks through has changed once.
    names = {type(part).__name__ for part in chain}
    said = next((s for s in (" ".join(str(part).split()) for part in chain[::-1]) if s), "")
    said = said[:200] or type(error).__name__
    if "_Moved" in names or "TooManyRedirects" in names:
        return Fault("stop", f"it leads elsewhere ({said}); give that address as --base-url")
    if "UnsupportedProtocol" in names:
        return Fault("stop", f"it leads elsewhere ({said}); is --base-url right?")
    if "SSLCertVerificationError" in names:
        return Fault("stop", f"its certificate is not trusted ({said}); name a file with its "
                     "authority's certificate in SSL_CERT_FILE")  # fmt: skip
    if "WRONG_VERSION_NUMBER" in said:
        return Fault("stop", f"it does not speak TLS ({said}); write http:// in --base-url")
    if "ProxyError" in names and re.search("407|40[13]", said):
        return Fault("stop", f"the proxy refuses ({said})")
    unknown = any(isinstance(e, socket.gaierror) and e.errno != socket.EAI_AGAIN for e in chain)
    # A container's port takes connections, and resets them, before its server listens.
    if not unknown and (names & {"ConnectError", "ReadError"} or "without sending" in said):
        return Fault("loading", f"no server answers there yet, or not for long ({said})")
    return Fault("passing", f"connection lost or refused ({said})")


def _http_client(address: str, timeout: float) -> Any:
    try:
        return openai.DefaultAsyncHttpxClient(
            limits=openai.DEFAULT_CONNECTION_LIMITS,
            timeout=timeout,
            trust_env=not on_this_machine(address),
            event_hooks={"response": [_refuse_to_move]},
        )
    except Exception as error:  # a scheme, a port or a certificate file of the environment
        said = re.sub(r"//[^/@\s]*@", "//…@", str(error))
        raise InputError(
            f"the proxies or certificates of the environment cannot be used ({said}): write "
            "socks5://HOST:PORT or http://HOST:PORT, or unset "
            f"{_proxy_names() or 'SSL_CERT_FILE and SSL_CERT_DIR'}"
        ) from None


def _proxy_names() -> str:
    """Variables of the environment that name proxies."""
    names = [f"{scheme}_proxy" for scheme in ("http", "https", "all")]
    return ", ".join(n for name in names for n in (name, name.upper()) if os.environ.get(n))
