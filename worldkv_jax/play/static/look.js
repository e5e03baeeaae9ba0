// Looking around with the mouse: a click on the picture captures it, Escape lets go.

const DEGREES_PER_PIXEL = 0.15;
const EVERY = 1000 / 30; // milliseconds from one event to the next

/** Let `picture` capture the mouse; `onLook` is given `{dx, dy}` in degrees, positive right and up. */
export function lookWithMouse(picture, onLook) {
  let turn = { dx: 0, dy: 0 };
  let timer = 0;

  function send() {
    timer = 0;
    if (turn.dx || turn.dy) onLook(turn);
    turn = { dx: 0, dy: 0 };
  }

  picture.addEventListener("click", () => {
    // A touch screen has no pointer to lock, and a browser may refuse: the keys and buttons remain.
    if (matchMedia("(pointer: fine)").matches) picture.requestPointerLock?.()?.catch?.(() => {});
  });
  document.addEventListener("mousemove", ({ movementX, movementY }) => {
    if (document.pointerLockElement !== picture) return;
    turn = { dx: turn.dx + movementX * DEGREES_PER_PIXEL, dy: turn.dy - movementY * DEGREES_PER_PIXEL };
    timer ||= setTimeout(send, EVERY);
  });
}
