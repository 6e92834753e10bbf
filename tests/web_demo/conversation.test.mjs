import assert from "node:assert/strict";
import { test } from "node:test";

import { cursor, EMPTY, liveTurn, parentOf, picturesBefore, reduce, shownTurns } from "../../web_demo/conversation.js";
import { pace, sessionTotals, sessionTurns } from "../../web_demo/figures.js";
import { sparkline } from "../../web_demo/meter.js";

const usage = (output_tokens, cost_usd, more = {}) => ({
  input_tokens: 10, output_tokens, images: 0, detections: 0, cost_usd, price_version: "1", ...more,
});
const created = (id) => ({ type: "response.created", sequence_number: 0, response: { id } });
const delta = (sequence_number, text, more = {}) => ({
  type: "response.output_text.delta", sequence_number, delta: text, "kosmosx:usage": usage(sequence_number, "0.02"), ...more,
});
const completed = (sequence_number, id, more = {}) => ({
  type: "response.completed", sequence_number, response: { id, "kosmosx:usage": usage(9, "0.0238"), ...more },
});
const opened = { type: "kosmosx:session.opened", sequence_number: 1, session: { id: "s1", status: "open", opened_at: 1 } };
const asked = (key, ...pictures) => ({ type: "page:asked", turn: { key, question: `question ${key}`, pictures } });
const play = (events, state = EMPTY) => events.reduce((now, event, at) => reduce(now, event, at * 100), state);

test("an answer grows by its deltas and ends", () => {
  const state = play([asked("a"), created("r1"), opened, delta(3, "Hel"), delta(4, "lo"), completed(5, "r1")]);
  const [turn] = state.turns;
  assert.equal(turn.text, "Hello");
  assert.equal(turn.status, "completed");
  assert.equal(turn.sessionId, "s1");
  assert.equal(liveTurn(state), null);
  assert.equal(pace(turn).firstTokenMs, 300);
});

test("a burst says nothing about the pace", () => {
  const events = [asked("a"), created("r1"), opened, delta(3, "Hel"), delta(4, "lo"), completed(5, "r1")];
  const slow = play(events).turns[0];
  assert.ok(pace(slow).tokensPerSecond > 0);
  const [burst] = events.reduce((now, event) => reduce(now, event, 7), EMPTY).turns;
  assert.equal(pace(burst).tokensPerSecond, null);
});

test("the reducer changes nothing in place", () => {
  const before = play([asked("a"), created("r1")]);
  const copy = structuredClone(before);
  reduce(before, delta(1, "x"), 0);
  assert.deepEqual(before, copy);
});

test("what was seen before a drop is not taken twice", () => {
  const state = play([
    asked("a"), created("r1"), delta(1, "A"), delta(2, "B"),
    { type: "page:dropped" }, { type: "page:resumed" },
    delta(1, "A"), delta(2, "B"), delta(3, "C"),
  ]);
  assert.equal(state.turns[0].text, "ABC");
  assert.equal(state.turns[0].resumedAt, 2);
  assert.equal(state.turns[0].dropped, false);
});

test("the session's events do not move the response's cursor", () => {
  const state = play([asked("a"), created("r1"), { ...opened, sequence_number: 77 }, delta(1, "A")]);
  assert.equal(state.turns[0].text, "A");
  assert.deepEqual(cursor(state), { session_id: "s1", response_id: "r1", starting_after: 1 });
});

test("without an answer under way the cursor names the open session alone", () => {
  const state = play([asked("a"), created("r1"), opened, completed(2, "r1")]);
  assert.deepEqual(cursor(state), { session_id: "s1" });
  assert.deepEqual(cursor(EMPTY), {});
  const closed = reduce(state, { type: "kosmosx:session.closed", session: { id: "s1", status: "closed", receipt: {} } });
  assert.deepEqual(cursor(closed), {});
  assert.equal(closed.session.opened_at, 1);
});

test("boxes gather while the answer streams; the finished part has the last word", () => {
  const one = { phrase: "a", start: 0, end: 1, boxes: [[0, 0, 1, 1]] };
  let state = play([asked("a"), created("r1"), delta(1, "a"), delta(2, "", { "kosmosx:grounding": [one] })]);
  assert.deepEqual(state.turns[0].groundings, [one]);
  state = reduce(state, { type: "response.content_part.done", sequence_number: 3, part: { "kosmosx:grounding": [one, one] } });
  assert.equal(state.turns[0].groundings.length, 2);
});

test("a cut-off answer costs what it costs", () => {
  let state = play([asked("a"), created("r1"), opened, delta(2, "x"), completed(3, "r1")]);
  state = play([asked("b"), created("r2"), delta(1, "y"), { type: "page:stopping" }], state);
  state = reduce(state, {
    type: "response.incomplete", sequence_number: 2,
    response: { id: "r2", incomplete_details: { reason: "max_output_tokens" }, "kosmosx:usage": usage(2, "0.020001") },
  });
  assert.equal(state.turns[1].reason, "cancelled");
  assert.equal(sessionTotals(state).costMicro, 43_801n);
  assert.equal(sessionTotals(state).outputTokens, 11);
});

test("an error ends the question that waits, and the next one can be asked", () => {
  let state = play([asked("a"), { type: "error", status: 404, error: { code: "conversation_not_found" } }]);
  assert.equal(state.turns[0].status, "failed");
  assert.equal(state.turns[0].error.status, 404);
  state = reduce(state, { type: "page:removed", keys: ["a"] });
  assert.equal(state.turns.length, 0);
});

test("a session lost on the way back does not end the question that waits", () => {
  let state = play([asked("a"), created("r1"), opened, completed(2, "r1"), asked("b")]);
  state = reduce(state, { type: "page:session_lost" });
  assert.equal(state.session, null);
  state = play([created("r2"), { ...opened, session: { id: "s2", status: "open" } }, delta(1, "x")], state);
  assert.equal(state.turns[1].text, "x");
  assert.equal(state.turns[1].sessionId, "s2");
  assert.equal(sessionTotals(state).outputTokens, 1);
});

test("a question that a closed session refused can be asked in a new one", () => {
  const refused = { type: "error", status: 409, error: { code: "session_closed", param: "session" } };
  const state = play([asked("a"), created("r1"), opened, completed(2, "r1"), asked("b"), refused]);
  assert.equal(state.turns[1].status, "failed");
  assert.deepEqual(cursor(state), {});
});

test("boxes belong to the newest picture before them", () => {
  const state = play([
    asked("a", "p1"), created("r1"), completed(1, "r1"),
    asked("b"), created("r2"), completed(1, "r2"),
    asked("c", "p2"),
  ]);
  assert.deepEqual(state.turns.map((turn) => picturesBefore(state, turn)), [["p1"], ["p1"], ["p1", "p2"]]);
});

test("what leaves the page stays on the bill", () => {
  let state = play([asked("a"), created("r1"), opened, delta(2, "x"), completed(3, "r1")]);
  state = reduce(state, { type: "page:removed", keys: ["a"] });
  assert.equal(state.turns.length, 0);
  assert.equal(sessionTotals(state).outputTokens, 9);
  assert.equal(sessionTurns(state).length, 1);
});

test("the server's turns replace the page's; timings, failures and live answers stay", () => {
  let state = play([asked("a"), created("r1"), opened, delta(2, "x"), completed(3, "r1")]);
  state = reduce(state, { type: "page:created", conversation: "c1" });
  state = play([asked("b"), { type: "error", status: 500, error: {} }, asked("c"), created("r3")], state);
  const known = (id, text) => ({ key: id, responseId: id, question: "q", text, pictures: [], status: "completed" });
  const turns = [known("r1", "x"), known("r2", "from elsewhere")];
  state = reduce(state, { type: "page:loaded", conversation: "c1", turns });
  assert.deepEqual(shownTurns(state).map(({ key }) => key), ["a", "r2", "b", "c"]);
  assert.equal(pace(shownTurns(state)[0]).firstTokenMs, 300);
  assert.equal(liveTurn(state).key, "c");
  state = reduce(state, { type: "page:loaded", conversation: "c1", turns: [known("r9", "a branch")] });
  assert.deepEqual(shownTurns(state).map(({ key }) => key), ["r9", "b", "c"]);
  assert.equal(sessionTotals(state).outputTokens, 9);
});

test("an answer of another tab is followed beside one's own", () => {
  const theirs = { key: "t", question: "q", theirs: true, responseId: "r7" };
  let state = play([{ type: "page:asked", turn: theirs }, asked("a"), created("r1")]);
  state = reduce(state, { ...delta(4, "hers"), turn: "t" }, 5);
  state = reduce(state, delta(1, "mine"), 6);
  assert.deepEqual(state.turns.map(({ text }) => text), ["hers", "mine"]);
  assert.equal(cursor(state).response_id, "r1");
});

test("a turn goes on from the one before it that the server knows", () => {
  let state = play([asked("a"), created("r1"), completed(1, "r1"), asked("b"), { type: "error", error: {} }, asked("c")]);
  assert.equal(parentOf(state, state.turns[2]).key, "a");
  assert.equal(parentOf(state, state.turns[0]), null);
});

test("gaps between tokens are kept, the newest sixty", () => {
  let state = play([asked("a"), created("r1")]);
  for (let token = 1; token < 80; token += 1) state = reduce(state, delta(token, "x"), token * 10);
  assert.equal(state.turns[0].gaps.length, 60);
  assert.ok(state.turns[0].gaps.every((gap) => gap === 10));
  assert.match(sparkline(state.turns[0].gaps), /^M0\.0 .*L120\.0 /);
  assert.equal(sparkline([]), "");
});

test("unknown events are let pass", () => {
  const state = play([asked("a"), created("r1")]);
  assert.equal(reduce(state, { type: "kosmosx:news" }).turns[0].text, "");
  assert.equal(reduce(EMPTY, { type: "response.output_text.delta", delta: "x" }), EMPTY);
});
