import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { all, client, MODEL } from "./client.mjs";

const user = (content) => ({ type: "message", role: "user", content });

test("a conversation, its turns and its items", async () => {
  const conversation = await client.conversations.create({
    items: [user("My name is Ada.")],
    metadata: { topic: "names" },
  });
  const response = await client.responses.create({
    model: MODEL,
    input: "Who am I?",
    max_output_tokens: 16,
    conversation: conversation.id,
  });
  const { items } = client.conversations;
  await items.create(conversation.id, { items: [user("Thanks."), user("Bye.")] });

  const listed = await all(items.list(conversation.id, { order: "asc", limit: 2 }));
  assert.deepEqual(
    listed.map((item) => item.role),
    ["user", "user", "assistant", "user", "user"],
  );
  assert.equal(listed[2].id, response.output[0].id);
  const [thanks] = listed.slice(3);
  await items.delete(thanks.id, { conversation_id: conversation.id });
  await assert.rejects(
    items.retrieve(thanks.id, { conversation_id: conversation.id }),
    OpenAI.NotFoundError,
  );

  const updated = await client.conversations.update(conversation.id, { metadata: { a: "b" } });
  assert.deepEqual(updated.metadata, { a: "b" });
  const deleted = await client.conversations.delete(conversation.id);
  assert.deepEqual(
    { ...deleted },
    { id: conversation.id, object: "conversation.deleted", deleted: true },
  );
});
