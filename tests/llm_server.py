"""A stand-in for an OpenAI-compatible server, in a process of its own: `with serving() as server`.

It answers description prompts truly, from the prompt itself, after `delay` seconds. With `faults`
some prompts (by their hash) get an unfit reply, the same each time, and some requests fail on the
way the first time. It counts answers per request body.
"""

import asyncio
import contextlib
import hashlib
import json
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import dataclass

TRANSPORT = {0: 429, 1: 500, 2: 503, 3: "drop"}


def reply_to(prompt: str, faults: bool) -> tuple[str | None, str]:
    """Content and finish_reason; unfit for about a third of the prompts when first asked."""
    if "ready" in prompt:
        return '{"text": "ready"}', "stop"
    if draft := re.search(r'(?m)^"(.*)"$', prompt):  # every other one is a mere copy
        copied = int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 2
        return json.dumps({"text": draft[1] if copied else f"Now, robot: {draft[1]}"}), "stop"
    start = re.search(r"- (?:starts on|enters|meets) the ([^\n(,]+?)(?: again)?[ \n(,]", prompt)
    text = f"Leave the {start.group(1)}" if start else "Keep going"
    text += " and go to <DESCRIPTOR>." if "exactly once" in prompt else "."
    kind = int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 20
    if not faults or "refused because" in prompt:
        kind = 19
    return {
        0: (None, "stop"),
        1: ('{"text": "Lea', "length"),
        2: ('{"text": "Go past the dinosaur and the lamp."}', "stop"),
        3: (f'<think>{{"text": "hm"}}</think>{{"text": {json.dumps(text)}}}', "stop"),
        4: (f"Sure!\n```json\n{json.dumps({'text': text})}\n```\nHope that helps.", "stop"),
        5: (text, "stop"),
        6: ('{"answer": 1}', "stop"),
    }.get(kind, (json.dumps({"text": text}), "stop"))


async def serve(delay: float, faults: bool) -> None:
    answered: Counter[str] = Counter()
    seen: Counter[str] = Counter()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    await send(writer, 200, {"answered": answered})
                    continue
                length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
                raw = await reader.readexactly(length)
                key = hashlib.sha256(raw).hexdigest()
                seen[key] += 1
                await asyncio.sleep(delay)
                fault = TRANSPORT.get(int(key, 16) % 50) if faults and seen[key] == 1 else None
                if fault == "drop":
                    writer.close()
                    return
                if fault:
                    await send(writer, fault, {"error": {"message": "busy"}})
                    continue
                content, finish = reply_to(json.loads(raw)["messages"][0]["content"], faults)
                answered[key] += 1
                message = {"role": "assistant", "content": content}
                await send(writer, 200, {
                    "id": "1", "object": "chat.completion", "created": 1, "model": "m",
                    "choices": [{"index": 0, "finish_reason": finish, "message": message}],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
                })  # fmt: skip

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def send(writer: asyncio.StreamWriter, status: int, body: object) -> None:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nretry-after: 0\r\n"
    writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
    await writer.drain()


@dataclass
class Server:
    port: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answered(self) -> Counter[str]:
        """Request body (its hash) → how often it was answered with status 200."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/") as response:
            return Counter(json.load(response)["answered"])


@contextlib.contextmanager
def serving(delay: float = 0.0, faults: bool = False):
    command = [sys.executable, __file__, str(delay), str(int(faults))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield Server(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), bool(int(sys.argv[2]))))
