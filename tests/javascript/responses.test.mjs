import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { all, client, MODEL, textOf } from "./client.mjs";

const ASKED = { model: MODEL, input: "What can you do?" };

test("a response as one object", async () => {
  const response = await client.responses.create(ASKED);
  assert.equal(response.status, "completed");
  assert.ok(response.output_text.length > 0);
  const { input_tokens, output_tokens, total_tokens } = response.usage;
  assert.equal(input_tokens + output_tokens, total_tokens);
  const again = await client.responses.retrieve(response.id);
  assert.equal(again.output_text, response.output_text);
});

test("a response as a stream, and the rest of it after any event", async () => {
  const events = await all(await client.responses.create({ ...ASKED, stream: true }));
  assert.deepEqual(
    events.map((event) => event.sequence_number),
    events.map((_, index) => index),
  );
  assert.equal(events[0].type, "response.created");
  const { response } = events.at(-1);
  assert.equal(events.at(-1).type, "response.completed");
  assert.equal(textOf(events), response.output[0].content[0].text);

  const after = Math.floor(events.length / 2);
  const rest = await client.responses.retrieve(response.id, {
    stream: true,
    starting_after: after,
  });
  assert.deepEqual(await all(rest), events.slice(after + 1));
});

test("responses.stream() gathers the response", async () => {
  const stream = client.responses.stream(ASKED);
  const deltas = [];
  stream.on("response.output_text.delta", (event) => deltas.push(event.delta));
  const response = await stream.finalResponse();
  assert.equal(response.output_text, deltas.join(""));
  assert.equal(response.status, "completed");
});

test("responses.stream() takes up a response by its id", async () => {
  const { id, output_text } = await client.responses.create(ASKED);
  const response = await client.responses.stream({ response_id: id }).finalResponse();
  assert.equal(response.id, id);
  assert.equal(response.output_text, output_text);
});

test("a conversation by previous_response_id", async () => {
  const first = await client.responses.create(ASKED);
  const second = await client.responses.create({
    ...ASKED,
    input: "Thanks!",
    previous_response_id: first.id,
  });
  assert.equal(second.previous_response_id, first.id);
  assert.ok(second.usage.input_tokens > first.usage.total_tokens);
});

test("input items, cancel and delete", async () => {
  const { id } = await client.responses.create(ASKED);
  const items = await all(client.responses.inputItems.list(id));
  assert.deepEqual(
    items.map((item) => item.content[0].text),
    [ASKED.input],
  );
  assert.equal((await client.responses.cancel(id)).status, "completed");
  await client.responses.delete(id);
  await assert.rejects(client.responses.retrieve(id), OpenAI.NotFoundError);
});

test("a picture", async () => {
  const onePixel =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
  const response = await client.responses.create({
    model: MODEL,
    input: [
      {
        role: "user",
        content: [
          { type: "input_text", text: "What is this?" },
          {
            type: "input_image",
            image_url: `data:image/png;base64,${onePixel}`,
            detail: "auto",
          },
        ],
      },
    ],
  });
  assert.equal(response["kosmosx:usage"].images, 1);
});

test("errors have their class, code and param", async () => {
  const asked = { ...ASKED, temperature: 3 };
  for (const stream of [false, true]) {
    await assert.rejects(client.responses.create({ ...asked, stream }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, "temperature");
      assert.equal(error.code, "decimal_above_max_value");
      return true;
    });
  }
  const stranger = client.withOptions({ apiKey: "kx_live_wrong" });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
});

test("models", async () => {
  const models = await all(client.models.list());
  assert.deepEqual(
    models.map((model) => model.id),
    [MODEL],
  );
  assert.deepEqual(await client.models.retrieve(MODEL), models[0]);
});
