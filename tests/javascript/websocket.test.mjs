import assert from "node:assert/strict";
import { test } from "node:test";

import { ResponsesWS } from "openai/resources/responses/ws";

import { client, MODEL, textOf } from "./client.mjs";

const TERMINAL = ["response.completed", "response.incomplete", "response.failed"];

/** Run `work` with a connection and what reads its events up to one of some types. */
async function connected(work) {
  const socket = new ResponsesWS(client);
  const records = socket.stream();
  async function until(...types) {
    const seen = [];
    for (;;) {
      const { value, done } = await records.next();
      assert.ok(!done, "the connection ended");
      if (value.type === "error") throw value.error;
      if (value.type !== "message") continue;
      seen.push(value.message);
      if (types.includes(value.message.type)) return seen;
    }
  }
  try {
    await work(socket, until);
  } finally {
    socket.close();
  }
}

function ask(socket, request) {
  socket.send({ type: "response.create", model: MODEL, ...request });
}

test("two turns and a receipt over one connection", async () => {
  await connected(async (socket, until) => {
    ask(socket, { input: "What can you do?" });
    const first = await until(...TERMINAL);
    assert.equal(first[0].type, "response.created");
    assert.equal(first.at(-1).type, "response.completed");
    const { response } = first.at(-1);
    assert.equal(textOf(first), response.output[0].content[0].text);

    ask(socket, { input: "Thanks!", previous_response_id: response.id });
    const second = (await until(...TERMINAL)).at(-1).response;
    assert.ok(second.usage.input_tokens > response.usage.total_tokens);

    socket.send({ type: "kosmosx:session.close" });
    const { session } = (await until("kosmosx:session.closed")).at(-1);
    assert.equal(session.usage.turns, 2);
    assert.equal(
      session.usage.total_tokens,
      response.usage.total_tokens + second.usage.total_tokens,
    );
    assert.match(session.receipt.total_usd, /^\d+\.\d+$/);
  });
});

test("lanes side by side", async () => {
  await connected(async (socket, until) => {
    ask(socket, { input: "Hello!", stream_id: "a" });
    ask(socket, { input: "Hello again!", stream_id: "b" });
    const events = [...(await until(...TERMINAL)), ...(await until(...TERMINAL))];
    for (const lane of ["a", "b"]) {
      const own = events.filter((event) => event.stream_id === lane);
      assert.equal(own.at(-1).type, "response.completed");
      assert.equal(textOf(own), own.at(-1).response.output[0].content[0].text);
    }
  });
});

test("a refused command leaves the connection usable", async () => {
  await connected(async (socket, until) => {
    ask(socket, { input: "Hi", previous_response_id: "resp_none" });
    await assert.rejects(until(...TERMINAL), (failure) => {
      assert.equal(failure.error.status, 400);
      assert.equal(failure.error.error.code, "previous_response_not_found");
      return true;
    });
    ask(socket, { input: "Hi" });
    assert.equal((await until(...TERMINAL)).at(-1).type, "response.completed");
  });
});
