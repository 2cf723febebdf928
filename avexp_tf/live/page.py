"""The page on which one can switch the camera off: two models side by side.

Everything is computed on this machine: the page loads nothing from elsewhere, and a
policy that travels with it forbids browsers to send anything elsewhere.
"""

from __future__ import annotations

import importlib.resources
import threading
from typing import Any

from avexp_tf import errors
from avexp_tf.live import page_config
from avexp_tf.live import page_sessions
from avexp_tf.live import page_style

_MOST_BYTES = 2_000_000  # of one packet of a browser
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "object-src 'none'; base-uri 'self'"
)


def launch(config: page_config.PageConfig, port: int = 0) -> RunningPage:
    """Serves the page on this machine; in a notebook it also shows it.

    Args:
      config: What it shows.
      port: Where; 0 takes the first free one from 7860 on.

    Returns:
      The page; it runs until it is closed.

    Raises:
      errors.MissingExtraError: if gradio is not installed.
      errors.ConfigError: if there is no such port.
      errors.DataError: if the port is taken.
    """
    check(port)
    gradio = _gradio()
    from avexp_tf.live import page_layout

    visitors = page_sessions.Visitors(config)
    blocks = page_layout.blocks(visitors)
    script = importlib.resources.files("avexp_tf.live").joinpath("page.js").read_text()
    try:
        _, url, _ = blocks.launch(
            server_name="127.0.0.1",
            server_port=port or None,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            show_error=True,
            ssr_mode=False,
            enable_monitoring=False,
            run_history=False,
            footer_links=[],
            css=page_style.CSS,
            head=f"<script>{script}</script>",
            theme=gradio.themes.Base(font=["system-ui", "sans-serif"]),
            app_kwargs=_app_settings(visitors),
            max_file_size="1gb",
        )
    except OSError as error:
        visitors.close()
        reason = f"{port} is taken" if port else str(error)
        raise errors.DataError(f"--page_port: {reason}") from None
    return RunningPage(blocks, visitors, url)


def check(port: int) -> None:
    """Checks what `launch` needs, before models are loaded for it.

    Raises:
      errors.MissingExtraError: if gradio is not installed.
      errors.ConfigError: if there is no such port.
    """
    if not 0 <= port < 1 << 16:
        raise errors.ConfigError(f"--page_port={port}: must be from 0 to 65535")
    _gradio()


class RunningPage:
    """A page that is served.

    Args:
      blocks: The Gradio app.
      visitors: Who uses it.
      url: Where it is.

    Attributes:
      visitors: Likewise.
      url: Likewise.
    """

    def __init__(self, blocks: Any, visitors: page_sessions.Visitors, url: str):
        self._blocks = blocks
        self.visitors = visitors
        self.url = url

    def __enter__(self) -> RunningPage:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def wait(self) -> None:
        """Waits until KeyboardInterrupt or Terminated comes out of it."""
        threading.Event().wait()

    def close(self) -> None:
        """Ends all calls, and the page."""
        self.visitors.close()
        self._blocks.close(verbose=False)


def _app_settings(visitors: page_sessions.Visitors) -> dict[str, Any]:
    """What goes around Gradio's pages: the way for packets, and the policy."""
    from starlette import middleware
    from starlette import requests
    from starlette import responses
    from starlette import routing

    async def receive(request: requests.Request) -> responses.Response:
        visitor = visitors.sender(request.path_params["token"])
        kind = request.path_params["kind"]
        if visitor is None or kind not in ("video", "audio"):
            return responses.Response(status_code=404)
        content = b""
        async for piece in request.stream():
            content += piece
            if len(content) > _MOST_BYTES:
                return responses.Response(status_code=413)
        try:
            secs = float(request.query_params["secs"])
            rate_hz = int(float(request.query_params["rate_hz"]))
        except (KeyError, ValueError, OverflowError):
            return responses.Response(status_code=400)
        if not 0 <= secs < 1e9 or not (kind == "video" or 1_000 <= rate_hz <= 768_000):
            return responses.Response(status_code=400)
        is_wanted = visitor.receive(kind, secs, content, rate_hz)
        return responses.Response(status_code=204 if is_wanted else 404)

    path = "/avexp/{token}/{kind}"
    return {
        "routes": [routing.Route(path, receive, methods=["POST"])],
        "middleware": [middleware.Middleware(_Policy)],
    }


class _Policy:
    """Sends the policy with every answer."""

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _POLICY.encode())
                message["headers"] = [*message.get("headers", []), policy]
            await send(message)

        await self._app(scope, receive, send_with_policy)


def _gradio() -> Any:
    try:
        import gradio
    except ImportError:
        raise errors.MissingExtraError("the page", "gradio", "live") from None
    return gradio
