"""What the server counts, as Prometheus reads it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from worldkv_jax.play.player import PlayedChunk

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """Counters of one server."""

    def __init__(self):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        def make(kind, name: str, text: str, **options):
            return kind(f"worldkv_play_{name}", text, registry=self.registry, **options)

        self.sessions = make(Gauge, "sessions", "Sessions by state", labelnames=["state"])
        self.chunks = make(Counter, "chunks", "Chunks made, by memory", labelnames=["memory"])
        self.frames = make(Counter, "frames", "Frames made, of all lanes")
        self.kv_bytes = make(Gauge, "kv_bytes", "Keys and values of the latest chunk, by tier", labelnames=["tier"])
        self.compute = make(Histogram, "chunk_seconds", "Seconds to make a chunk, all lanes", buckets=_SECONDS)
        self.queue = make(Histogram, "queue_seconds", "Seconds a chunk waited for its turn", buckets=_SECONDS)
        self.key_to_frames = make(Histogram, "key_seconds", "Seconds from a key to its chunk made", buckets=_SECONDS)
        self.refused = make(Counter, "refused", "Sessions not admitted, by reason", labelnames=["reason"])
        self.errors = make(Counter, "errors", "What went wrong, by kind", labelnames=["kind"])

    def chunk(self, chunk: PlayedChunk, *, queued: float) -> None:
        """Count a chunk."""
        for lane in chunk.lanes:
            self.chunks.labels(lane.memory).inc()
            self.frames.inc(len(lane.frames))
        self.compute.observe(sum(lane.seconds for lane in chunk.lanes))
        self.queue.observe(queued)
        tiers: dict[str, int] = {}
        for lane in chunk.lanes:
            for tier, size in lane.kv_bytes.items():
                tiers[tier] = tiers.get(tier, 0) + size
        for tier, size in tiers.items():
            self.kv_bytes.labels(tier).set(size)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self.registry)
