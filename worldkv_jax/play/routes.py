"""Where a server of `worldkv play` answers; nothing else is imported here, for clients that have no JAX."""

WEBSOCKET_PATH = "/v1/realtime_video/generate"
"""SGLang's realtime clients ask there."""
