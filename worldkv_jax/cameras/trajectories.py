"""The trajectory language: ``R_L_R_L90`` or ``right90 hold16 left90 forward1.5`` to camera poses.

A script is a list of words, separated by spaces or commas. A word is one or more moves and, optionally, a
number: ``WLSR30`` is four moves. Moves add up; pose 0 already holds the first step.

=====================  ==================  =====================================  ================
letter                 name                motion                                 number means
=====================  ==================  =====================================  ================
``R`` / ``L``          ``right``/``left``  turn (yaw)                             degrees
``U`` / ``N``          ``up``/``down``     look up, nod down (pitch)              degrees
``W`` / ``S``          ``forward``/``back``  walk along the heading               scene units
``D`` / ``A``                              step to the right / left               scene units
``_``                  ``hold``            stand still                            frames
=====================  ==================  =====================================  ================

The number of a word belongs to all of its turns; to its walks where it has no turn; to its holds where it has
neither. Walks and holds without a number take the defaults of `trajectory`; turns need one. Walking stays on
the ground plane whatever the pitch. Every script of WorldKV's generate_traj.py means the same here, except
that it ignores the number of a script without turns.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from worldkv_jax.cameras.checks import MAX_FRAMES
from worldkv_jax.cameras.poses import pose_from_angles
from worldkv_jax.names import unknown_name

_TURNS = {"R": (1, 0), "L": (-1, 0), "U": (0, 1), "N": (0, -1)}  # yaw, pitch
_WALKS = {"W": (0, 1), "S": (0, -1), "D": (1, 0), "A": (-1, 0)}  # right, forward
_HOLD = "_"
_NAMES = {"right": "R", "left": "L", "up": "U", "down": "N", "forward": "W", "back": "S", "hold": _HOLD}
_LETTERS = (*_TURNS, *_WALKS, _HOLD)
_WORD = re.compile(r"([^\s,.0-9]+)([0-9]+(?:\.[0-9]+)?|\.[0-9]+)?")
_GAP = re.compile(r"[\s,]*")


@dataclass(frozen=True)
class Move:
    """One move of a camera.

    Args:
        letter: one of R, L, U, N (turns), W, S, D, A (walks) and _ (hold).
        amount: degrees, scene units or frames, in that order; None takes the default of `trajectory`.

    Raises:
        ValueError: unknown letter, turn without an angle, amount that is not positive or, for a hold, whole.
    """

    letter: str
    amount: float | None = None

    def __post_init__(self):
        if self.letter not in _LETTERS:
            raise unknown_name("move", self.letter, (*_LETTERS, *_NAMES))
        if self.amount is None:
            if self.letter in _TURNS:
                raise ValueError(f"turn {self.letter!r} has no angle; end its word with degrees, as in 'R_L90'")
        elif not 0 < self.amount < math.inf or (self.letter == _HOLD and self.amount != int(self.amount)):
            unit = "a whole number of frames" if self.letter == _HOLD else "a number"
            raise ValueError(f"amount {self.amount:g} of {self.letter!r} is not {unit} above zero")


def parse(text: str) -> tuple[Move, ...]:
    """Read a trajectory script.

    Args:
        text: the script; see the module's description for its grammar.

    Returns:
        Its moves in order.

    Raises:
        ValueError: empty script, unknown move, number without a move, turn without an angle, or an amount
            that is not positive (holds: a whole number); shows the place with a caret.
    """
    moves: list[Move] = []
    at = _after_gap(text, 0)
    while at < len(text):
        word = _WORD.match(text, at)
        if word is None:
            raise _error(text, at, "a number must follow a move, such as 'R90' or 'hold16'")
        letters = _letters(text, word)
        owner = next(kind for kind in (_TURNS, _WALKS, _HOLD) if any(letter in kind for letter in letters))
        amount = None if word[2] is None else float(word[2])
        for place, letter in enumerate(letters, word.start()):
            try:
                moves.append(Move(letter, amount if letter in owner else None))
            except ValueError as error:
                raise _error(text, place if amount is None else word.start(2), str(error)) from None
        at = _after_gap(text, word.end())
    if not moves:
        raise ValueError(f"trajectory script {text!r} is empty; give moves such as 'R_L_R_L90' or 'R90 hold16 L90'")
    return tuple(moves)


def _after_gap(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return at if gap is None else gap.end()


def _letters(text: str, word: re.Match[str]) -> str:
    if word[1] in _NAMES:
        return _NAMES[word[1]]
    if len(word[1]) > 1 and word[1].islower():
        raise _error(text, word.start(), str(unknown_name("move", word[1], (*_LETTERS, *_NAMES))))
    for at, letter in enumerate(word[1], word.start()):
        if letter not in _LETTERS:
            hint = "letters are upper case; " if letter.upper() in _LETTERS else ""
            raise _error(text, at, hint + str(unknown_name("move", letter, (*_LETTERS, *_NAMES))))
    return word[1]


def _error(text: str, at: int, message: str) -> ValueError:
    line = re.sub(r"\s", " ", text)  # one line, same positions
    return ValueError(f"trajectory script, character {at + 1}: {message}\n  {line}\n  {' ' * at}^")


def trajectory(
    text: str | Iterable[Move],
    frames: int | None = None,
    *,
    degrees_per_frame: float = 2.0,
    distance: float = 1.0,
    walk_frames: int = 24,
    hold_frames: int | Sequence[int] = 16,
) -> Float32[np.ndarray, "n 4 4"]:
    """Turn a trajectory script into camera poses, one a video frame.

    The defaults are those of WorldKV's generate_traj.py. An amount that is not a whole number of steps is
    spread evenly over the next larger number of frames.

    Args:
        text: the script (see `parse`), or moves.
        frames: length of the path; the last pose is held to fill it. None: as long as the script takes.
        degrees_per_frame: fastest turn.
        distance: scene units of a walk without a number.
        walk_frames: frames that ``distance`` takes; walks with a number go at the same speed.
        hold_frames: frames of a hold without a number; or one value for each such hold, in order.

    Returns:
        Camera-to-world poses ``[n, 4, 4]``, float32, OpenCV axes; the path starts from the identity.

    Raises:
        ValueError: a script that cannot be read, takes more than ``frames``, or pitches past 90 degrees.
    """
    moves = parse(text) if isinstance(text, str) else tuple(text)
    if not (degrees_per_frame > 0 and distance >= 0 and walk_frames >= 1):
        raise ValueError(
            f"degrees_per_frame={degrees_per_frame}, distance={distance}, walk_frames={walk_frames}: "
            "speeds must be positive (distance may be 0)"
        )
    lengths = _lengths(moves, degrees_per_frame, distance, walk_frames, hold_frames)
    total = sum(lengths)
    if max(total, frames or 0) > MAX_FRAMES:
        raise ValueError(f"a path of {max(total, frames or 0):.4g} frames is longer than {MAX_FRAMES}; shorten it")
    if frames is not None and total > frames:
        raise ValueError(
            f"the script takes {total} frames, but frames={frames}; give frames={total} or more, shorten the "
            "script, or cut the path yourself with trajectory(script)[:frames]"
        )
    state = np.zeros(5)  # yaw, pitch, x, y, z
    path = []
    for move, length in zip(moves, lengths):
        change = _change(move, yaw=state[0], distance=distance)
        path.append(state + change * (np.arange(1, length + 1) / length)[:, None])
        state = state + change
    path.append(np.tile(state, ((frames or total) - total, 1)))
    path = np.concatenate(path)
    over = np.abs(path[:, 1]) > 90 + 1e-6
    if over.any():
        raise ValueError(
            f"the pitch passes 90 degrees at frame {over.argmax()}; keep it between -90 and 90 (U and N add up)"
        )
    return pose_from_angles(path[:, 0], path[:, 1], path[:, 2:]).astype(np.float32)


def _lengths(
    moves: Sequence[Move],
    degrees_per_frame: float,
    distance: float,
    walk_frames: int,
    hold_frames: int | Sequence[int],
) -> list[int]:
    open_holds = sum(move.letter == _HOLD and move.amount is None for move in moves)
    holds = list(hold_frames) if isinstance(hold_frames, Iterable) else [hold_frames] * open_holds
    if len(holds) != open_holds or any(hold != int(hold) or hold < 1 for hold in holds):
        raise ValueError(
            f"hold_frames={hold_frames}: expected one positive number of frames, or {open_holds} of them, "
            "one for each hold without its own"
        )
    remaining = iter(holds)
    lengths: list[int] = []
    for move in moves:
        length: float
        if move.letter == _HOLD:
            length = next(remaining) if move.amount is None else move.amount
        elif move.amount is None:
            length = walk_frames
        elif move.letter in _TURNS:
            length = move.amount / degrees_per_frame
        elif distance > 0:
            length = walk_frames * move.amount / distance
        else:
            raise ValueError(f"{move.letter}{move.amount:g} has no speed with distance=0; give a distance above 0")
        # Up to rounding: 0.3 / 0.1 is three steps, not four. The cap keeps int() finite; the sum is refused.
        lengths.append(int(max(1, math.ceil(min(length, 2 * MAX_FRAMES) * (1 - 1e-9)))))
    return lengths


def _change(move: Move, *, yaw: float, distance: float) -> np.ndarray:
    if move.letter in _TURNS:
        return np.array([*_TURNS[move.letter], 0, 0, 0]) * move.amount
    if move.letter == _HOLD:
        return np.zeros(5)
    right, forward = _WALKS[move.letter]
    sin, cos = math.sin(math.radians(yaw)), math.cos(math.radians(yaw))
    direction = np.array([0, 0, right * cos + forward * sin, 0, forward * cos - right * sin])
    return direction * (distance if move.amount is None else move.amount)
