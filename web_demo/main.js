/** The page's composition: what the user does, what the server says, and what follows from it. */

import { Connection, isAboutSession, probe } from "./connection.js";
import { cursor, EMPTY, liveTurn, reduce } from "./conversation.js";
import { forget, looksLikeKey, remember, rememberedKey, takeKeyFromAddress } from "./key.js";
import { PictureError, pictureIn, readPicture } from "./picture.js";
import { View } from "./view.js";
import { errorInWords } from "./words.js";

const CLOSE_TIMEOUT_MS = 8_000;
const SERVER_RETRY_MS = 1_500;

const byId = (id) => document.getElementById(id);
const view = new View();

let state = EMPTY;
let connection = null;
let model = "kosmos-x";
let closeTimer = null;
let frame = null;
let asked = 0;
let checks = 0;

const ui = {
  key: null,
  keyError: null,
  checkingKey: false,
  notice: null,
  connection: "none",
  pictures: new Map(), // key → picture, also those of the whole conversation
  draft: null, // key of the picture that goes with the next question
  shownTurn: null, // turn whose boxes were chosen to be shown
  lit: null,
  boxes: true,
  closing: false,
};

// ── state ──────────────────────────────────────────────────────────────────────────────────────

function dispatch(event) {
  const before = state;
  state = reduce(state, event, performance.now());
  if (event.type === "page:connection") connectionChanged(event);
  if (event.type === "error") serverRefused(event, before);
  if (event.type === "page:session_lost") sessionLost();
  if (event.type === "kosmosx:session.closed") sessionClosed();
  if (liveTurn(state)?.stopping && event.type === "response.created") sendStop(liveTurn(state));
  if (liveTurn(before) && !liveTurn(state) && ui.closing) requestClose();
  redraw();
}

/** Draw at most once a frame, however fast the tokens come. A hidden tab draws when it returns. */
function redraw() {
  frame ??= requestAnimationFrame(() => {
    frame = null;
    view.render(state, ui);
  });
}

function set(changes) {
  Object.assign(ui, changes);
  redraw();
}

function connectionChanged({ state: name, reason, code }) {
  ui.connection = name;
  if (name === "open") ui.notice = null;
  if (name === "asleep" && ui.closing && state.session.status === "open") void closeOverHttp();
  if (name === "unreachable") ui.notice = errorInWords({ code: "server_unreachable" });
  if (name === "refused") {
    if (code === "policy") ui.notice = errorInWords({ code, message: reason });
    else askForKey(errorInWords({ code, message: reason }));
  }
}

/** An error that belongs to no question is shown by itself. */
function serverRefused({ type, status, error }, before) {
  if (isAboutSession({ type, error })) connection.leave(); // the next question opens another
  if (liveTurn(before)) return;
  if (ui.closing) void closeOverHttp();
  else if (!before.turns.at(-1)?.stopping) ui.notice = errorInWords({ status, ...error });
}

/** The server closed the session while we were away: the answer is read to its end without it. */
function sessionLost() {
  ui.closing = false;
  ui.notice = "The session was closed while you were away. The next question opens a new one.";
  if (liveTurn(state)?.responseId) connection.reopen();
}

// ── key ────────────────────────────────────────────────────────────────────────────────────────

function askForKey(problem = null) {
  connection?.end();
  connection = null;
  forget();
  checks += 1;
  set({ key: null, checkingKey: false, keyError: problem, connection: "none" });
  requestAnimationFrame(() => byId("key").focus());
}

async function useKey(key, { keep }) {
  if (!looksLikeKey(key)) {
    askForKey("This does not look like a key. It begins with kx_ and has no spaces.");
    return;
  }
  set({ checkingKey: true, keyError: null, notice: null, connection: "checking" });
  const answer = await untilAnswered(key);
  if (answer === null) return;
  set({ checkingKey: false, notice: null });
  const { status, model: served, error } = answer;
  if (status !== 200) {
    askForKey(errorInWords({ ...error, status }));
    return;
  }
  model = served ?? model;
  if (keep) remember(key);
  byId("key").value = "";
  connection?.end();
  connection = new Connection({
    origin: location.origin,
    key,
    cursor: () => cursor(state),
    on: dispatch,
  });
  set({ key, connection: "asleep" });
  requestAnimationFrame(() => byId("question").focus({ preventScroll: true }));
}

/** A server that starts, or is away, is waited for. Null if another key was given meanwhile. */
async function untilAnswered(key) {
  checks += 1;
  const mine = checks;
  for (;;) {
    const answer = await probe(location.origin, key);
    if (mine !== checks) return null;
    const down = answer.status === 0 || answer.status >= 500;
    if (!down && !answer.loading) return answer;
    set({ connection: answer.loading ? "loading" : "unreachable" });
    await new Promise((resolve) => setTimeout(resolve, SERVER_RETRY_MS));
  }
}

// ── questions ──────────────────────────────────────────────────────────────────────────────────

function ask(question, picture = ui.draft) {
  if (question === "" || liveTurn(state) || ui.closing || ui.key === null) return;
  asked += 1;
  const content = [{ type: "input_text", text: question }];
  if (picture) {
    const { dataUrl } = ui.pictures.get(picture);
    content.push({ type: "input_image", image_url: dataUrl, detail: "auto" });
  }
  dispatch({ type: "page:asked", key: `turn-${asked}`, question, picture });
  set({ draft: null, shownTurn: null, lit: null, notice: null });
  byId("log").scrollTop = byId("log").scrollHeight;
  connection.send({
    type: "response.create",
    model,
    input: [{ type: "message", role: "user", content }],
    ...(state.thread ? { previous_response_id: state.thread } : {}),
    store: true,
    truncation: "auto",
    temperature: 0,
  });
}

function askAgain(key) {
  const turn = state.turns.find((each) => each.key === key);
  if (!turn || liveTurn(state)) return;
  // A thread that the server has lost begins anew: its picture has to go along again.
  const earlier = state.thread ? null : state.turns.findLast((each) => each.picture)?.picture;
  dispatch({ type: "page:withdrawn", key });
  ask(turn.question, turn.picture ?? earlier ?? null);
}

function stop() {
  const turn = liveTurn(state);
  if (!turn || turn.stopping) return;
  dispatch({ type: "page:stopping" });
  if (turn.responseId) sendStop(turn);
}

function sendStop(turn) {
  connection.send({ type: "kosmosx:response.cancel", response_id: turn.responseId });
}

// ── session ────────────────────────────────────────────────────────────────────────────────────

function closeSession() {
  if (ui.closing || state.session?.status !== "open") return;
  set({ closing: true });
  if (liveTurn(state)) stop();
  else requestClose();
}

function requestClose() {
  if (!connection.isOpen) {
    closeOverHttp();
    return;
  }
  connection.send({ type: "kosmosx:session.close" });
  closeTimer = setTimeout(closeOverHttp, CLOSE_TIMEOUT_MS);
}

/** The socket is gone, or silent: close by the other door. Closing twice gives the same receipt. */
async function closeOverHttp() {
  clearTimeout(closeTimer);
  const url = new URL(`/v1/sessions/${encodeURIComponent(state.session.id)}`, location.origin);
  const headers = { Authorization: `Bearer ${ui.key}` };
  try {
    await fetch(url, { method: "DELETE", headers });
    const session = await (await fetch(url, { headers })).json();
    if (session.status !== "closed") throw new Error("still open");
    dispatch({ type: "kosmosx:session.closed", session });
  } catch {
    set({ closing: false, notice: "The session could not be closed. Try again in a moment." });
  }
}

function sessionClosed() {
  clearTimeout(closeTimer);
  set({ closing: false });
  view.render(state, ui);
  if (state.session.receipt) view.showReceipt(state);
}

function restart() {
  byId("receipt").close();
  for (const { url } of ui.pictures.values()) URL.revokeObjectURL(url);
  ui.pictures.clear();
  state = EMPTY;
  connection.leave();
  set({ draft: null, shownTurn: null, lit: null, notice: null, connection: "asleep" });
  requestAnimationFrame(() => byId("question").focus());
}

// ── pictures ───────────────────────────────────────────────────────────────────────────────────

async function attach(file, { name, alt } = {}) {
  try {
    const picture = { ...(await readPicture(file, name)), alt };
    ui.pictures.set(picture.key, picture);
    set({ draft: picture.key, lit: null, notice: null });
    if (matchMedia("(hover: hover)").matches) byId("question").focus();
  } catch (error) {
    if (!(error instanceof PictureError)) throw error;
    set({ notice: error.message });
  }
}

async function attachSample(file, alt) {
  const response = await fetch(file).catch(() => null);
  if (response?.ok) await attach(await response.blob(), { name: file.split("/").at(-1), alt });
  else set({ notice: "This sample can't be loaded." });
}

async function loadSamples() {
  const response = await fetch("samples.json").catch(() => null);
  view.samples(response?.ok ? await response.json() : []);
}

// ── wiring ─────────────────────────────────────────────────────────────────────────────────────

function onClick({ target }) {
  const at = (selector) => target.closest?.(selector);
  if (at("[data-action=choose]")) byId("file").click();
  else if (at("[data-action=restart]")) restart();
  else if (at("[data-sample]")) {
    const { dataset, title } = at("[data-sample]");
    void attachSample(dataset.sample, title);
  } else if (at("[data-idea]")) ask(at("[data-idea]").dataset.idea);
  else if (at("[data-retry]")) askAgain(at("[data-retry]").dataset.retry);
  else if (at(".thumb")) set({ shownTurn: at(".thumb").dataset.turn, draft: null });
  else if (at("[data-ref]")) choose(at("[data-ref]").dataset.ref);
}

/** Light up what is pointed at or else has the focus, and show the picture that it belongs to. */
function light(target) {
  const source = target?.closest?.("[data-ref]") ?? document.activeElement?.closest("[data-ref]");
  const ref = source?.dataset.ref ?? null;
  const turn = source?.closest(".answer")?.dataset.turn;
  if (ref === ui.lit) return;
  ui.lit = ref;
  if (ref && turn && !ui.draft && ui.shownTurn !== turn) set({ shownTurn: turn });
  else view.light(ref);
}

/** A click keeps the light on: the phrase takes the focus. */
function choose(ref) {
  set({ lit: ref });
  view.focusPhrase(ref);
}

function onKey(event) {
  if (event.key === "Escape" && liveTurn(state) && !byId("receipt").open) stop();
  if ((event.key === "Enter" || event.key === " ") && event.target.matches?.(".phrase")) {
    event.preventDefault();
    byId("frame").scrollIntoView({ block: "nearest" });
  }
}

function onQuestionKey(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!liveTurn(state)) submit();
}

function submit() {
  const question = byId("question").value.trim();
  if (question === "" || liveTurn(state)) return;
  byId("question").value = "";
  fitQuestion();
  ask(question);
}

/** The field grows with its text (style.css sets the limit). */
function fitQuestion() {
  const field = byId("question");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

function wire() {
  document.addEventListener("click", onClick);
  document.addEventListener("keydown", onKey);
  for (const type of ["pointerover", "focusin"]) {
    document.addEventListener(type, ({ target }) => light(target));
  }
  document.addEventListener("focusout", ({ relatedTarget }) => light(relatedTarget));
  document.documentElement.addEventListener("pointerleave", () => light(null));

  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    liveTurn(state) ? stop() : submit();
  });
  byId("question").addEventListener("keydown", onQuestionKey);
  byId("question").addEventListener("input", () => {
    fitQuestion();
    redraw();
  });
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void useKey(byId("key").value.trim(), { keep: byId("remember").checked });
  });
  byId("change-key").addEventListener("click", () => askForKey());
  byId("close-session").addEventListener("click", closeSession);
  byId("show-receipt").addEventListener("click", () => view.showReceipt(state));
  byId("dismiss-receipt").addEventListener("click", () => byId("receipt").close());
  byId("toggle-boxes").addEventListener("click", () => set({ boxes: !ui.boxes }));
  byId("remove-picture").addEventListener("click", () => set({ draft: null }));
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files[0]) void attach(target.files[0]);
    target.value = "";
  });

  document.addEventListener("paste", (event) => {
    const file = pictureIn(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    void attach(file, { name: "pasted picture" });
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.toggleAttribute("data-dragging", event.dataTransfer.types.includes("Files"));
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) document.body.removeAttribute("data-dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.removeAttribute("data-dragging");
    const file = pictureIn(event.dataTransfer);
    if (file) void attach(file);
    else if (event.dataTransfer.files.length) set({ notice: "Only pictures can be dropped here." });
  });
  addEventListener("hashchange", () => start(takeKeyFromAddress()));
}

function start(key) {
  if (key) void useKey(key, { keep: false });
}

start(takeKeyFromAddress() ?? rememberedKey());
wire();
redraw();
void loadSamples();
