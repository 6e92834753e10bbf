import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { address, backoffMs, Connection } from "../../web_demo/connection.js";

let sockets, events, timers, position, answers, clock, look;

class FakeSocket {
  readyState = 0;
  sent = [];
  constructor(url, protocols) {
    Object.assign(this, { url: new URL(url), protocols });
    sockets.push(this);
  }
  accept() {
    this.readyState = 1;
    this.onopen();
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  drop(code, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }
  close() {
    this.readyState = 3;
  }
}

function connection() {
  return new Connection({
    origin: "http://host.example:8000",
    key: "kx_live_a_b",
    cursor: () => position,
    on: (event) => events.push(event),
    WebSocket: FakeSocket,
    schedule: (task, ms) => timers.push({ task, ms }),
    cancel: () => {},
    every: (task) => { look = task; },
    random: () => 0,
    now: () => clock,
    probe: async () => answers,
  });
}

const types = () => events.map(({ type, state }) => (state ? `${type} ${state}` : type));
const settled = () => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  [sockets, events, timers, position, clock] = [[], [], [], {}, 0];
  answers = { status: 200 };
});

test("the key goes as a subprotocol, never into the address", () => {
  connection().open();
  assert.equal(sockets[0].url.href, "ws://host.example:8000/v1/responses");
  assert.deepEqual(sockets[0].protocols, ["realtime", "openai-insecure-api-key.kx_live_a_b"]);
  assert.match(address("https://a.example", {}), /^wss:/);
});

test("what is said before the connection stands is sent when it does", () => {
  const made = connection();
  made.send({ type: "one" });
  made.send({ type: "two" });
  assert.equal(sockets.length, 1);
  sockets[0].accept();
  assert.deepEqual(sockets[0].sent, [{ type: "one" }, { type: "two" }]);
});

for (const code of [1001, 1006, 1011, 1012, 1013]) {
  test(`after a drop with ${code} an answer goes on where it stopped`, async () => {
    connection().open();
    sockets[0].accept();
    position = { session_id: "s", response_id: "r", starting_after: 41 };
    sockets[0].drop(code);
    await settled();
    timers.pop().task();
    assert.equal(sockets[1].url.search, "?session_id=s&response_id=r&starting_after=41");
    sockets[1].accept();
    assert.deepEqual(types().slice(2), [
      "page:dropped", "page:connection reconnecting", "page:connection reconnecting", "page:connection open", "page:resumed",
    ]);
  });
}

test("a connection that owes an answer and is silent for long is left for a new one", async () => {
  connection().open();
  sockets[0].accept();
  clock = 40_000;
  look(); // Nothing is due.
  position = { session_id: "s", response_id: "r", starting_after: 41 };
  sockets[0].onmessage({ data: '{"type": "response.output_text.delta"}' });
  clock = 69_000;
  look();
  assert.equal(sockets[0].readyState, 1);
  clock = 70_000;
  look();
  await settled();
  assert.equal(sockets[0].readyState, 3);
  timers.pop().task();
  sockets[1].accept();
  assert.equal(sockets[1].url.search, "?session_id=s&response_id=r&starting_after=41");
  assert.deepEqual(events.at(-1), { type: "page:resumed" });
  look(); // It has had no time yet to say anything.
  assert.equal(sockets[1].readyState, 1);
});

test("a question is waited for from when it was sent, not from what was heard last", async () => {
  const made = connection();
  made.open();
  sockets[0].accept();
  clock = 40_000;
  made.send({ type: "response.create" });
  look();
  assert.equal(sockets[0].readyState, 1);
  clock = 70_000;
  look();
  await settled();
  timers.pop().task();
  sockets[1].accept();
  assert.deepEqual(sockets[1].sent, [{ type: "response.create" }]);
});

test("a lost session is told from a refused question", () => {
  position = { session_id: "s" };
  connection().open();
  sockets[0].accept();
  const closed = { type: "error", status: 409, error: { code: "session_closed" } };
  sockets[0].onmessage({ data: JSON.stringify(closed) });
  assert.deepEqual(events.at(-1), { type: "page:session_lost" });
  sockets[0].onmessage({ data: JSON.stringify(closed) });
  assert.deepEqual(events.at(-1), closed);
});

test("a policy close is not tried again", async () => {
  connection().open();
  sockets[0].accept();
  position = { session_id: "s", response_id: "r", starting_after: 1 };
  sockets[0].drop(1008, "The budget is used up");
  await settled();
  assert.equal(timers.length, 0);
  assert.deepEqual(events.at(-1), { type: "page:connection", state: "refused", reason: "The budget is used up", code: "policy" });
});

test("an old connection is renewed, though it was closed by policy", async () => {
  connection().open();
  sockets[0].accept();
  position = { session_id: "s" };
  sockets[0].drop(1008, "websocket_connection_limit_reached");
  await settled();
  assert.equal(timers.length, 1);
});

test("without a session or a question there is nothing to come back for", async () => {
  connection().open();
  sockets[0].accept();
  sockets[0].drop(1006);
  await settled();
  assert.equal(timers.length, 0);
  assert.deepEqual(types().at(-1), "page:connection asleep");
});

const question = { type: "response.create", "kosmosx:idempotency_key": "k" };
const say = (socket, event) => socket.onmessage({ data: JSON.stringify(event) });

test("a question that was sent and not confirmed is sent again, as the same one", async () => {
  connection().send(question);
  sockets[0].accept();
  sockets[0].drop(1006);
  await settled();
  timers.pop().task();
  sockets[1].accept();
  assert.deepEqual(sockets[1].sent, [question]);
  assert.ok(!types().includes("page:lost"));
});

for (const type of ["response.created", "error"]) {
  test(`after ${type} a question is not sent again`, async () => {
    connection().send(question);
    sockets[0].accept();
    say(sockets[0], { type });
    position = { session_id: "s" };
    sockets[0].drop(1006);
    await settled();
    timers.pop().task();
    sockets[1].accept();
    assert.deepEqual(sockets[1].sent, []);
  });
}

test("a question whose session is gone is still asked", async () => {
  connection().send(question);
  sockets[0].accept();
  position = { session_id: "s" };
  sockets[0].drop(1012);
  await settled();
  timers.pop().task();
  sockets[1].accept();
  say(sockets[1], { type: "error", error: { code: "session_closed" } });
  sockets[1].drop(1006);
  await settled();
  timers.pop().task();
  sockets[2].accept();
  assert.deepEqual(sockets[2].sent, [question]);
});

test("a question that a dead server holds is asked until it is free", () => {
  connection().send(question);
  sockets[0].accept();
  say(sockets[0], { type: "error", error: { code: "idempotency_key_in_use" } });
  assert.deepEqual(sockets[0].sent, [question, question]);
  assert.equal(types().at(-1), "page:connection open");
});

test("a question that was not sent yet waits for the server", async () => {
  const made = connection();
  made.send({ type: "response.create" });
  sockets[0].drop(1006);
  await settled();
  timers.pop().task();
  sockets[1].accept();
  assert.deepEqual(sockets[1].sent, [{ type: "response.create" }]);
  assert.ok(!types().includes("page:lost"));
});

test("a bad key is told from a dead server", async () => {
  answers = { status: 401, error: { code: "invalid_api_key", message: "no" } };
  connection().send({ type: "response.create" });
  sockets[0].drop(1006);
  await settled();
  assert.equal(timers.length, 0);
  assert.equal(events.at(-1).state, "refused");
  assert.equal(events.at(-1).code, "invalid_api_key");
});

test("it gives up in the end, and says so", async () => {
  answers = { status: 0 };
  connection().send({ type: "response.create" });
  for (let tries = 0; sockets.length > tries; tries += 1) {
    sockets[tries].drop(1006);
    await settled();
    timers.pop()?.task();
  }
  assert.equal(sockets.length, 10);
  assert.deepEqual(types().slice(-2), ["page:lost", "page:connection unreachable"]);
});

test("a connection that held makes earlier failures forgotten", async () => {
  position = { session_id: "s" };
  connection().open();
  for (let tries = 0; tries < 30; tries += 1) {
    sockets[tries].accept();
    clock += 60_000;
    sockets[tries].drop(1006);
    await settled();
    timers.pop().task();
  }
  assert.equal(sockets.length, 31);
});

test("once ended it stays silent", async () => {
  const made = connection();
  made.open();
  sockets[0].accept();
  const before = events.length;
  made.end();
  sockets[0].onclose?.({ code: 1006, reason: "" });
  await settled();
  assert.equal(events.length, before);
});

test("delays double, spread, and have a ceiling", () => {
  assert.deepEqual([1, 2, 3, 9].map((attempt) => backoffMs(attempt, 0)), [150, 300, 600, 4000]);
  assert.equal(backoffMs(1, 1), 300);
});
