"""Modules of the page on their own."""

import pytest

pytestmark = pytest.mark.browser

MESSAGES = [
    {"type": "init", "seed": 2**40, "worldkv": {"memories": ["default", "window"], "watch": True}, "prompt": None},
    [0, 127, 128, 255, 256, 65535, 65536, 2**32, -1, -32, -33, -128, -129, -(2**31), -(2**40), 0.5, -1e300],
    ["", "x" * 31, "ü" * 40, "y" * 300, "z" * 70_000],
    {str(key): key for key in range(40)},
    list(range(300)),
]


def test_messagepack_agrees_with_another_implementation(world, visit):
    msgpack = pytest.importorskip("msgpack")
    page = visit(world).page
    for message in MESSAGES:
        encoded, decoded = page.evaluate(
            """async ([message, packed]) => {
                const { encode, decode } = await import('/static/msgpack.js');
                return [Array.from(encode(message)), decode(Uint8Array.from(packed))];
            }""",
            [message, list(msgpack.packb(message))],
        )
        assert msgpack.unpackb(bytes(encoded)) == message
        assert decoded == message


def test_broken_messages_are_refused(world, visit):
    broken = [b"", b"\xc4\x05abc", b"\xc1", b"\xd9\x02\xff\xff", b"\x01\x01"]
    refused = visit(world).page.evaluate(
        """async messages => {
            const { decode } = await import('/static/msgpack.js');
            const isRefused = packed => {
                try { decode(Uint8Array.from(packed)); return false; } catch { return true; }
            };
            return messages.map(isRefused);
        }""",
        [list(message) for message in broken],
    )
    assert refused == [True] * len(broken)


def test_a_branch_sees_its_ancestors_chunks(world, visit):
    seen = visit(world).page.evaluate(
        """async () => {
            const { World } = await import('/static/world.js');
            const world = new World();
            const branches = [
                { branch: 0, parent: null, at: 1, length: 4 },
                { branch: 1, parent: 0, at: 2, length: 2 },
            ];
            const chunks = [0, 1, 2, 3].map(index => ({ branch: 0, chunk_index: index, camera: [index, 0, 0] }));
            world.take({ current: 1, position: 2, first: 1, branches, chunks });
            world.add({ branch: 1, chunk_index: 2, camera: [9, 0, 0], lanes: [] });
            const paths = [world.path().map(({ camera }) => camera[0])];
            world.take({ current: 0, position: 3, first: 1, branches: [{ ...branches[0], length: 3 }] });
            return [...paths, world.path().map(({ camera }) => camera[0]), world.chunk(3) === undefined];
        }"""
    )
    assert seen == [[0, 1, 9], [0, 1, 2], True]
