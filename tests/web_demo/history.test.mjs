import assert from "node:assert/strict";
import { test } from "node:test";

import { Archive } from "../../web_demo/archive.js";
import { asJson, asMarkdown } from "../../web_demo/exports.js";
import { History } from "../../web_demo/history.js";
import { turnsOf } from "../../web_demo/reading.js";
import { masked, snippets } from "../../web_demo/snippets.js";
import { forkAfter, leaving, versionAt } from "../../web_demo/versions.js";

const said = (turn, role, ...content) => ({ type: "message", id: "msg_1", role, content, status: "completed", "kosmosx:turn_id": turn });
const text = (words) => ({ type: "input_text", text: words });
const picture = { type: "input_image", image_url: "data:image/png;base64,AA==", "kosmosx:image_id": "0a" };
const box = { phrase: "dog", start: 2, end: 5, boxes: [[0, 0, 1, 1]] };
const answer = { type: "output_text", text: "A dog.", "kosmosx:grounding": [box] };

test("items become turns by the response that they belong to", () => {
  const [first, second] = turnsOf([
    said("resp_1", "user", picture, text("What")),
    said("resp_1", "user", text("is it?")),
    said("resp_1", "assistant", answer),
    { type: "function_call", "kosmosx:turn_id": "resp_2" },
    { ...said("resp_2", "assistant", { type: "output_text", text: "Cut" }), status: "incomplete" },
  ]);
  assert.equal(first.question, "What\nis it?");
  assert.deepEqual(first.images, [{ id: "0a", item: "msg_1", url: picture.image_url }]);
  assert.deepEqual(first.groundings, [box]);
  assert.deepEqual([second.responseId, second.text, second.status], ["resp_2", "Cut", "incomplete"]);
});

test("versions keep their numbers whichever is on the page", () => {
  const at = forkAfter({ responseId: "resp_0123456789abcdef" });
  assert.equal(at, "0123456789ab");
  assert.equal(forkAfter(null), "start");
  let branches = leaving([], at, "resp_one");
  assert.deepEqual(versionAt(branches, at), { number: 2, count: 2 });
  branches = leaving(branches, at, "resp_two");
  assert.deepEqual(versionAt(branches, at), { number: 3, count: 3 });
  branches = leaving(branches, at, "resp_three", 1);
  assert.deepEqual(versionAt(branches, at), { number: 1, count: 3 });
  assert.deepEqual(branches.map(({ head }) => head), ["resp_two", "resp_three"]);
  assert.deepEqual(versionAt(branches, "start"), { number: 1, count: 1 });
});

test("what is noted of a conversation comes back from its metadata, each value in bounds", async () => {
  const head = (number) => `resp_${String(number).padStart(48, "0")}`;
  const branches = Array.from({ length: 20 }, (_, n) => ({ at: "0123456789ab", number: n + 1, head: head(n) }));
  let sent;
  const api = {
    post: async (path, body) => (sent = body),
    get: async () => ({ data: [{ id: "conv_1", metadata: sent.metadata }], has_more: false }),
  };
  const history = new History(api);
  await history.describe({ id: "conv_1", title: "Boats", branches });
  for (const value of Object.values(sent.metadata)) assert.ok(value.length <= 512);
  assert.deepEqual(await history.list(), [{ id: "conv_1", title: "Boats", branches, found: undefined }]);
});

test("a conversation is exported", () => {
  const turns = [{ question: "What\nis it?", pictures: ["p"], text: "A **dog**.", groundings: [box], responseId: "resp_1", usage: null }];
  assert.equal(asMarkdown("Boats", turns), "# Boats\n\n> [picture]\n> What\n> is it?\n\nA **dog**.\n");
  const { items } = JSON.parse(asJson("Boats", turns, new Map([["p", { dataUrl: "data:x" }]])));
  assert.deepEqual(items[0].content[1], { type: "input_image", image_url: "data:x" });
  assert.deepEqual(items[1].content[0]["kosmosx:grounding"], [box]);
});

test("a request is shown as code, without its key and the mass of its pictures", () => {
  const url = `data:image/png;base64,${"A".repeat(9_000)}`;
  const body = {
    model: "kosmos-x", store: true, temperature: 0,
    input: [{ role: "user", content: [{ type: "input_text", text: "It's \"this\"?" }, { type: "input_image", image_url: url }] }],
  };
  const shown = snippets(body, { origin: "http://127.0.0.1:8000", key: "kx_live_abc_secret" });
  assert.deepEqual(Object.keys(shown), ["curl", "Python", "JavaScript", "websocat"]);
  for (const code of Object.values(shown)) {
    assert.ok(!code.includes("secret") && !code.includes("abc"), code);
    assert.ok(code.includes("kx_live_••••••••"));
    assert.ok(code.length < 2_000);
  }
  assert.match(shown.curl, /It'\\''s/);
  assert.match(shown.Python, /"store": True,/);
  assert.match(shown.websocat, /ws:\/\/127/);
  assert.equal(masked("odd"), "••••••••");
});

test("news are asked for until the key is refused", async () => {
  const refusals = [503, 401];
  const api = {
    async *events() {
      throw Object.assign(new Error(), { status: refusals.shift() });
    },
  };
  await new Archive({ api, pictures: null, page: null }).look(true);
  assert.deepEqual(refusals, []);
});
