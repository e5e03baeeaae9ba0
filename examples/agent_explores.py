"""An agent that explores a room of the demo world over the network, comes back, and asks what was remembered."""

from worldkv_jax.play.client import connect
from worldkv_jax.play.local_server import local_server

DIRECTIONS = ("l", "j")

# %% Look where little is known: both directions are tried, in branches of the world


def look_around(world, turns: int) -> list[str]:
    """Turn to where the memory knows least: where the fewest stored chunks were recalled."""
    moves = []
    for turn in range(turns):
        best = {}
        for key in DIRECTIONS:  # tries both in branches of the world, which cost nothing
            branch = world.timeline.get("current", 0)
            world.fork()
            best[key] = world.act([key], frames=9)[-1].stats["lanes"][0]
            world.switch(branch)
        key = min(DIRECTIONS, key=lambda key: best[key]["psnr"])
        world.act([key], frames=9)
        moves.append(key)
        print(f"turn {turn}: {key}, which shows what is known to {best[key]['psnr']:.1f} dB")
    return moves


# %% Explore, come back, and see what is remembered
with local_server("demo-world", "--no-state") as address, connect(address, seed=11) as world:
    print(f"plays {world.session['model']} as {world.session['memories']}")
    start = world.wait("chunk").stats["camera"]
    moves = look_around(world, turns=2)
    for key in reversed(moves):
        back = "j" if key == "l" else "l"
        last = world.act([back], frames=9)[-1]
    print(f"back from {start} at {last.stats['camera']}, {last.stats['lanes'][0]['psnr']:.1f} dB to the true room")
    world.remember_with("window")
    print(f"with a sliding window alone: {world.wait('chunk').stats['lanes'][0]['psnr']:.1f} dB")
