// The page: wires the parts to each other, and gives each message of the server to whom it concerns.

import { Connection } from "./connection.js";
import { byId, element, throttled } from "./dom.js";
import { Hud, titleDefault, titleOf } from "./hud.js";
import { Keys } from "./keys.js";
import { lookWithMouse } from "./look.js";
import { WorldMap } from "./map.js";
import { notice, showProblem } from "./notices.js";
import { markHeld, showPads } from "./pads.js";
import { Recall } from "./recall.js";
import { wireRecorder } from "./recorder.js";
import { Screen } from "./screen.js";
import { showSettings, wireSettings } from "./settings.js";
import { wireSharing } from "./sharing.js";
import { TimeLine } from "./timeline.js";
import { Truth } from "./truth.js";
import { Visit } from "./visit.js";
import { WatchedWalk } from "./watch.js";
import { World } from "./world.js";

const REFRESH = 200; // milliseconds: people read what chunks bring faster

const visit = new Visit();
const world = new World(() => timeline.show());
const connection = new Connection({ hello: () => visit.hello(), onMessage: receive, onState: showState });
const screen = new Screen(byId("pictures"), showFrame);
const hud = new Hud(byId("pace"), screen);
const map = new WorldMap(byId("map"));
const recall = new Recall(byId("recalled"), world);
const truth = new Truth(byId("truth"));
const timeline = new TimeLine(byId("timeline"), world, (kind, payload) => send(kind, payload, byId("time-problem")));
const refresh = throttled(showWorld, REFRESH);
const keys = new Keys(showAndSendKeys);
const showRecording = wireRecorder(send);
const sharing = wireSharing({ send, begin, session: () => session });
let session = null;
let walk = null;

const RECEIVERS = {
  session: enter,
  queue: ({ place, waiting }) => notice(`The server is busy: you are number ${place} of ${waiting} who wait.`),
  status: showStatus,
  receipt: ({ event_id, status, content }) => {
    if (status === "refused") showProblem(content, connection.sender(event_id));
  },
  frame_batch: (batch) => screen.push(batch),
  chunk_stats: showChunk,
  timeline: moveTo,
  rest,
  session_file: ({ data }) => sharing.receive(data),
  recording: showRecording,
  error: showError,
};

wireSettings({ send, begin, focusPicture });
lookWithMouse(byId("pictures"), look);
byId("pictures").addEventListener("click", () => connection.wake());
byId("skip").addEventListener("click", focusPicture);
byId("notice").querySelector("button").addEventListener("click", () => connection.open());
document.addEventListener("visibilitychange", () => document.hidden || connection.wake());
addEventListener("hashchange", beginFromAddress);
start();

/** Read the address and connect. */
async function start() {
  try {
    await visit.read();
  } catch (error) {
    showProblem(error.message);
    visit.goBack();
  }
  connection.open();
}

/** Begin the world that a changed address asks for. */
function beginFromAddress() {
  connection.leave(); // what it still sends is of the other world
  visit.leave();
  session = null;
  start();
}

/** Begin another world, with `{seed, prompt, first_frame, replay}`. */
function begin(wish) {
  visit.leave();
  visit.wish = { memories: session?.memories, ...wish };
  session = null;
  connection.open();
}

function receive(message) {
  RECEIVERS[message.type]?.(message);
}

/** A session begins, comes back, or has changed its memories. */
function enter(given) {
  const isNew = session?.session_id !== given.session_id;
  const isOther = isNew || session.seed !== given.seed || session.memories.join() !== given.memories.join();
  session = given;
  visit.remember(session);
  notice("");
  document.body.classList.remove("waiting");
  if (isOther) {
    world.clear();
    map.clear(session.field_of_view);
  }
  if (isNew) {
    keys.offer(session.keys.map(({ key }) => key), session.aliases);
    showPads(byId("pads"), session.keys, keys);
    showKeyList(session.keys);
  } else if (keys.held.length > 0) showAndSendKeys(keys.held); // those that woke it
  document.title = `${session.model} – worldkv play`;
  byId("model").textContent = session.model;
  byId("random").hidden = !session.random_weights;
  byId("truth").hidden = !session.truth;
  titleDefault(session.default_mode);
  showSettings(session);
  screen.arrange(session, session.memories.map(titleOf));
  timeline.secondsPerChunk = secondsPerChunk();
  walk = session.watching ? new WatchedWalk(byId("caption"), session.memories.length > 1) : endWalk();
  byId("hint").hidden = !walk;
}

/** The world stands somewhere else: after a rewind, a fork, a change of branch, or a return. */
function moveTo(account) {
  const isElsewhere = account.current !== world.current || account.position !== world.position;
  world.take(account);
  if (isElsewhere) screen.moveTo(world.last?.picture);
  refresh();
}

function showChunk(stats) {
  notice("");
  world.add(stats);
  hud.show(stats);
  if (stats.watching === false) endWalk();
  walk?.follow(stats.camera);
  refresh();
}

/** Nothing comes any more: what was done before `event_id` is over. */
function rest({ event_id: eventId }) {
  if (!connection.isLatest(eventId)) return; // the server does not know yet what was done since
  showWorld();
  timeline.draw();
  hud.rests();
}

function showWorld() {
  if (!session) return;
  const path = world.path();
  const { last } = world;
  const cameras = (chunks) => chunks.map((chunk) => chunk?.camera).filter(Boolean);
  const recalled = (last?.lanes ?? []).map(({ picks = [] }) => cameras(picks.map((index) => world.chunk(index))));
  map.show(cameras(path), last?.camera ?? null, recalled);
  recall.show(last, secondsPerChunk());
  if (session.truth) truth.show(path, world.revisits(path));
  timeline.show();
}

function showFrame({ event_id: eventId }) {
  const milliseconds = connection.elapsed(eventId);
  if (milliseconds !== null) hud.answered(milliseconds);
}

/** Send an event; a refusal is shown at `place`. Returns whether it was sent. */
function send(kind, payload, place = byId("problem")) {
  const id = connection.send(kind, payload, { place });
  hud.moves();
  if (id === null) showProblem("There is no connection: this was not done.", place);
  return id !== null;
}

function showAndSendKeys(held) {
  markHeld(byId("pads"), held);
  const transitions = [{ actions: held, client_ts_ms: Date.now() }];
  control("camera_actions", { mode: "state", transitions }, held.length > 0);
}

function look(turn) {
  control("look", turn, true);
}

function control(kind, payload, timed) {
  if (timed) endWalk();
  if (timed && !connection.isOpen) connection.wake(); // the next snapshot comes after the world is back
  else connection.send(kind, payload, { timed });
  hud.moves();
}

function endWalk() {
  byId("hint").hidden = true;
  walk = null;
  byId("caption").textContent = "";
  return null;
}

/** Say what the server does, or how a replay went. */
function showStatus({ content, replay }) {
  if (replay) byId("caption").textContent = `${content[0].toUpperCase()}${content.slice(1)}.`;
  else notice(content);
}

/** The server cannot do what was asked without naming an event. */
function showError({ content }) {
  if (session) return showProblem(content);
  if (visit.isComingBack) visit.forget(); // it is gone there
  else if (Object.values(visit.wish).some((wish) => wish !== undefined)) {
    showProblem(content);
    visit.goBack(); // nothing of the world before is lost to a file that is no session
  } else return notice(content, true);
  connection.greet();
}

function showState(state, sentence) {
  hud.moves();
  if (state === "open") sharing.forget();
  if (state === "open") notice(session ? "" : "Waiting for the first picture …");
  else notice(sentence, state === "refused" || state === "full");
}

function showKeyList(offered) {
  byId("key-list").replaceChildren(
    ...offered.flatMap(({ key, label }) => [
      element("dt", {}, [element("kbd", { textContent: key })]),
      element("dd", { textContent: label }),
    ]),
  );
}

function secondsPerChunk() {
  return session ? session.frames_per_chunk / session.fps : 1;
}

function focusPicture() {
  byId("pictures").focus({ preventScroll: true });
}
