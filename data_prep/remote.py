"""A file of the Hugging Face hub that is read over HTTP."""

import io
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

WAITS = (1, 2, 4, 8)  # seconds before a broken download is resumed; after the last wait it fails


class RemoteFile(io.RawIOBase):
    """A file that is read over HTTP. A read gives all bytes that it is asked for, unless the file ends.

    With `stream` there is one download, from where the reading begins to the end of the file or until it is
    closed. Otherwise each read downloads just its bytes. A broken download is resumed.
    """

    def __init__(self, url: str, name: str, size: int, stream: bool) -> None:
        self.url, self.file_name, self.size, self.stream = url, name, size, stream
        self.position = 0
        self.connection = ExitStack()
        self.parts: Iterator[bytes] | None = None  # of the download, which is at `position`
        self.rest = b""  # of the newest part

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        if target != self.position:
            self._disconnect()
        self.position = target
        return target

    def close(self) -> None:
        self._disconnect()
        super().close()

    def readinto(self, buffer: Any, /) -> int:
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.utils import httpx

        view = memoryview(buffer).cast("B")[: max(0, self.size - self.position)]
        done = failures = 0
        while done < len(view):
            try:
                part = self._next(len(view) - done)
            except (httpx.HTTPError, OSError) as error:
                self._disconnect()
                if isinstance(error, HfHubHTTPError) or failures == len(WAITS):
                    raise ValueError(
                        f"{self.file_name} cannot be downloaded at byte {self.position}: {one_line(error)}; "
                        "check the network, and give the same command again"
                    ) from None
                time.sleep(WAITS[failures])
                failures += 1
                continue
            view[done : done + len(part)] = part
            done, failures = done + len(part), 0
            self.position += len(part)
        if not self.stream and self.parts is not None:
            with suppress(httpx.HTTPError):
                next(self.parts, None)  # the end, so that the next read can use the same connection
            self._disconnect()
        return done

    def _next(self, length: int) -> bytes:
        """The next bytes, at least one and at most `length`."""
        if self.parts is None:
            self.parts = self._connect(self.size if self.stream else self.position + length)
        while not self.rest:
            part = next(self.parts, None)
            if part is None:
                raise OSError("the connection was closed")
            self.rest = part
        part, self.rest = self.rest[:length], self.rest[length:]
        return part

    def _connect(self, end: int) -> Iterator[bytes]:
        from huggingface_hub import constants
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

        headers = build_hf_headers() | {
            "Range": f"bytes={self.position}-{end - 1}",
            "Accept-Encoding": "identity",  # or the range would not be one of the file
        }
        # This waits and asks again when the hub is busy. What breaks is repeated by `readinto`.
        request = http_stream_backoff(
            "GET",
            self.url,
            headers=headers,
            timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
            retry_on_exceptions=(),
        )
        response = self.connection.enter_context(request)
        hf_raise_for_status(response)
        if response.status_code != 206 and (self.position, end) != (0, self.size):
            raise ValueError(f"{self.file_name} cannot be read in parts: the hub does not answer ranges")
        return response.iter_raw()

    def _disconnect(self) -> None:
        self.parts, self.rest = None, b""
        self.connection.close()


def one_line(error: Exception) -> str:
    """The message of an error, or its type."""
    message = " ".join(str(error).split()).partition(" For more information check")[0]
    return message[:300] or type(error).__name__
