"""A backend that answers at once, in a process of its own: OpenAI's chat completions as server-sent events.

`python -m bench.answers.scripted` prints the port that it listens on, on loopback, and runs until its input ends.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.record import ROOT

PIECES = ("The passages say ", "so [1]. ", "Others ", "agree [2][3].")


@contextmanager
def scripted() -> Iterator[str]:
    """The URL of a running one."""
    command = [sys.executable, "-m", "bench.answers.scripted"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1/chat/completions"
        finally:
            process.stdin.close()


def _chunk(delta: dict[str, str], finish_reason: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": [choice]}
    return b"data: " + json.dumps(body | more).encode() + b"\n\n"


def _answer() -> bytes:
    """The whole response: its length is known, so that a connection can be kept."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 12, "total_tokens": 1012}
    events = b"".join(
        (
            _chunk({"role": "assistant", "content": ""}),
            *(_chunk({"content": piece}) for piece in PIECES),
            _chunk({}, "stop"),
            _chunk({}, choices=[], usage=usage),
            b"data: [DONE]\n\n",
        )
    )
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(events)}\r\n\r\n"
    return head.encode() + events


async def _serve() -> None:
    answer = _answer()

    async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0].partition(b":")[2]))
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer_all, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
