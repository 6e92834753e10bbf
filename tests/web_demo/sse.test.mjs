import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Api, Refusal } from "../../web_demo/api.js";
import { SseConnection } from "../../web_demo/sse.js";

let calls, answers, events, position;

const created = { type: "response.created", response: { id: "resp_1" } };
const completed = { type: "response.completed", response: { id: "resp_1" } };

/** An Api whose streams are scripted: arrays of events; an Error in one breaks it off. */
const api = {
	post: async () => ({ id: "sess_1", status: "open" }),
	async *events(method, path, options) {
		calls.push({ method, path, options });
		const script = answers.shift();
		if (script instanceof Error) throw script;
		yield { type: "page:answered" };
		for (const event of script) {
			if (event instanceof Error) throw event;
			yield event;
		}
	},
};

function on(event) {
	events.push(event);
	if (event === created) position = { session_id: "sess_1", response_id: "resp_1", starting_after: 0 };
}

async function ask() {
	const made = new SseConnection({ api, cursor: () => position, on, random: () => 0, pause: async () => {} });
	made.send({ type: "response.create", "kosmosx:idempotency_key": "k", input: "Hi" });
	const over = (type) => type in { "response.completed": 1, error: 1, "page:lost": 1 };
	while (!events.some(({ type }) => over(type))) await new Promise(setImmediate);
	return made;
}

const types = () => events.map(({ type, state }) => state ?? type);

beforeEach(() => {
	[calls, answers, events, position] = [[], [], [], {}];
});

test("a question opens a session, and its answer streams", async () => {
	answers = [[created, completed]];
	await ask();
	assert.deepEqual(types(), ["connecting", "kosmosx:session.opened", "open", "response.created", "response.completed"]);
	assert.equal(calls[0].options.headers["X-Kosmosx-Session"], "sess_1");
	assert.equal(calls[0].options.body.stream, true);
});

test("an answer that breaks off is gone on with after the last event", async () => {
	answers = [[created, new TypeError("network")], new Refusal(0), [completed]];
	await ask();
	assert.deepEqual(calls.map(({ method }) => method), ["POST", "GET", "GET"]);
	assert.equal(calls[1].path, "/v1/responses/resp_1?stream=true&starting_after=0");
	assert.ok(types().includes("page:dropped") && types().includes("page:resumed"));
});

test("a question that may have got lost is sent again under the same key", async () => {
	answers = [new Refusal(0), new Refusal(409, { code: "idempotency_key_in_use" }), [created, completed]];
	await ask();
	assert.deepEqual(calls.map(({ method, options }) => [method, options.headers["Idempotency-Key"]]), Array(3).fill(["POST", "k"]));
	assert.deepEqual(calls[0].options.body, { input: "Hi", stream: true });
});

test("a refusal is told, and not tried again", async () => {
	answers = [new Refusal(404, { code: "conversation_not_found", message: "gone" })];
	await ask();
	assert.equal(calls.length, 1);
	assert.deepEqual(events.at(-2), { type: "error", status: 404, error: { code: "conversation_not_found", message: "gone" } });
});

test("it gives up in the end", async () => {
	answers = Array.from({ length: 20 }, () => new Refusal(0));
	await ask();
	assert.equal(calls.length, 10);
	assert.equal(events.at(-2).error.code, "server_unreachable");
});

test("events are read from the stream however it is cut", async () => {
	const text = `retry: 1\n\nevent: a\ndata: {"type":"a","x":"ü"}\nid: 1\n\n: keep\n\nevent: b\ndata: {"type":"b"}\n\n`;
	const bytes = new TextEncoder().encode(text);
	const body = new ReadableStream({
		start(controller) {
			for (let at = 0; at < bytes.length; at += 3) controller.enqueue(bytes.slice(at, at + 3));
			controller.close();
		},
	});
	const fetched = new Api("http://host", "key", async () => new Response(body, { headers: { "X-Kosmosx-Session": "s" } }));
	const seen = [];
	for await (const event of fetched.events("GET", "/v1/responses/x")) seen.push(event);
	assert.deepEqual(seen, [{ type: "page:answered", session: "s" }, { type: "a", x: "ü" }, { type: "b" }]);
});

test("a stream that has gone silent is left; comments break its silence", async ({ mock }) => {
	mock.timers.enable({ apis: ["setTimeout"] });
	let controller;
	const fetched = new Api("http://host", "key", async (_, { signal }) => {
		const body = new ReadableStream({ start: (its) => { controller = its; } });
		signal.onabort = () => controller.error(signal.reason);
		return new Response(body);
	});
	const reading = fetched.events("GET", "/v1/responses/x");
	await reading.next();
	const event = reading.next();
	for (const said of [": keepalive\n", 'data: {"type":"a"}\n\n']) {
		mock.timers.tick(30_000);
		controller.enqueue(new TextEncoder().encode(said));
		await new Promise(setImmediate);
	}
	assert.deepEqual((await event).value, { type: "a" });
	const left = reading.next();
	mock.timers.tick(45_000);
	await assert.rejects(left, { name: "AbortError" });
});
