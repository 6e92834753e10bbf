import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { all, client, MODEL } from "./client.mjs";

const ASKED = { model: MODEL, messages: [{ role: "user", content: "What can you do?" }] };

test("a completion in one piece, and in chunks with its usage", async () => {
  const whole = await client.chat.completions.create(ASKED);
  const chunks = await all(
    await client.chat.completions.create({
      ...ASKED,
      stream: true,
      stream_options: { include_usage: true },
    }),
  );
  const { usage } = chunks.pop();
  const said = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");
  assert.equal(said, whole.choices[0].message.content);
  assert.equal(chunks.at(-1).choices[0].finish_reason, whole.choices[0].finish_reason);
  assert.equal(usage.total_tokens, whole.usage.total_tokens);
});

test("chat.completions.stream() gathers the completion", async () => {
  const whole = await client.chat.completions.create(ASKED);
  const stream = client.chat.completions.stream(ASKED);
  assert.equal(await stream.finalContent(), whole.choices[0].message.content);
});

test("a refusal names the field", async () => {
  await assert.rejects(
    client.chat.completions.create({ ...ASKED, n: 2, stream: true }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === "n",
  );
});

test("the models", async () => {
  const [model] = await all(await client.models.list());
  assert.deepEqual(await client.models.retrieve(MODEL), model);
  assert.deepEqual(model["kosmosx:capabilities"].input_modalities, ["text", "image"]);
});
