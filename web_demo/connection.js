/**
 * The WebSocket to `/v1/responses`: connect, send, and come back after a drop.
 *
 * Knows no DOM and no conversation: `cursor()` tells where to go on, `on(event)` takes the server's
 * events and the page's own:
 *
 *   page:connection {state, reason}  connecting | open | reconnecting | asleep | refused | unreachable
 *   page:dropped, page:resumed       an answer under way was cut off, and goes on
 *   page:lost {error}                an answer under way can't be had any more
 *   page:session_lost                the session that a reconnection named is gone
 */

import { isAboutSession } from "./api.js";
import { probe } from "./probe.js";

const SUBPROTOCOL = "realtime";
const KEY_SUBPROTOCOL = "openai-insecure-api-key.";
const POLICY = 1008; // the server said no: trying again changes nothing …
const TIME_LIMITS = new Set([
	// … unless it only said that this connection was old, or silent
	"websocket_connection_limit_reached",
	"no message arrived in time",
]);
export const ATTEMPTS = 9;
const FIRST_DELAY_MS = 300;
const MAX_DELAY_MS = 8_000;
const STEADY_MS = 10_000; // a connection that held for so long makes earlier failures forgotten
const SILENCE_MS = 30_000; // one that owes an answer and says nothing for so long may be dead without knowing it
const LOOK_MS = 5_000;

/** How long to wait before an attempt (1, 2, …): doubling, and spread out by `random` in [0, 1). */
export function backoffMs(attempt, random) {
	const ceiling = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
	return Math.round(ceiling * (0.5 + random / 2));
}

/** The WebSocket's address on the page's own origin, going on from `cursor`. */
export function address(origin, cursor) {
	const url = new URL("/v1/responses", origin);
	url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
	for (const [name, value] of Object.entries(cursor)) url.searchParams.set(name, value);
	return url.href;
}

/** The server that took the question died with it: it gives the key free within half a minute. */
export function isStillTaken({ code, error }) {
	return (code ?? error?.code) === "idempotency_key_in_use";
}

export class Connection {
	#options;
	#socket = null;
	#queue = [];
	#unconfirmed = null; // the question that was sent, until the server names its answer, or refuses it
	#attempt = 0;
	#timer = null;
	#heardAt = 0;
	#looking;
	#over = false;

	/** Tests hand in doubles of whatever touches the world. */
	constructor({ origin, key, cursor, on, ...doubles }) {
		this.#options = {
			origin,
			key,
			cursor,
			on,
			probe: () => probe(origin, key),
			WebSocket: globalThis.WebSocket,
			schedule: (task, ms) => setTimeout(task, ms),
			cancel: (timer) => clearTimeout(timer),
			every: (task, ms) => setInterval(task, ms),
			random: Math.random,
			now: () => performance.now(),
			...doubles,
		};
		this.#looking = this.#options.every(() => this.#look(), LOOK_MS);
	}

	get isOpen() {
		return this.#socket?.readyState === 1;
	}

	/** Send now, or as soon as there is a connection. */
	send(command) {
		if (this.isOpen) {
			if (command.type === "response.create") this.#unconfirmed = command;
			this.#heardAt = this.#options.now(); // Until now nothing was due.
			this.#socket.send(JSON.stringify(command));
			return;
		}
		this.#queue.push(command);
		if (this.#timer === null) this.open();
	}

	open() {
		if (this.#over || this.#socket !== null) return;
		this.#timer = null;
		const { origin, key, cursor, on, WebSocket, now } = this.#options;
		const from = cursor();
		on({ type: "page:connection", state: this.#attempt ? "reconnecting" : "connecting" });
		const socket = new WebSocket(address(origin, from), [SUBPROTOCOL, KEY_SUBPROTOCOL + key]);
		let openedAt = null;
		socket.onopen = () => {
			openedAt = this.#heardAt = now();
			on({ type: "page:connection", state: "open" });
			if (from.response_id) on({ type: "page:resumed" });
			for (const command of this.#queue.splice(0)) this.send(command);
		};
		let rejoining = "session_id" in from;
		socket.onmessage = ({ data }) => {
			this.#attempt = 0;
			this.#heardAt = now();
			const event = JSON.parse(data);
			// Only the first word on a connection can be about the session that its address names.
			const lost = rejoining && isAboutSession(event);
			rejoining = false;
			if (lost) return on({ type: "page:session_lost" });
			if (isStillTaken(event) && this.#unconfirmed) return this.send(this.#unconfirmed);
			if (event.type === "response.created" || event.type === "error") this.#unconfirmed = null;
			on(event);
		};
		socket.onclose = ({ code, reason }) => {
			this.#socket = null;
			if (openedAt !== null && now() - openedAt > STEADY_MS) this.#attempt = 0;
			void this.#closed({ code, reason, opened: openedAt !== null });
		};
		this.#socket = socket;
	}

	/** Leave this connection for a new one, which begins at the cursor as it is now. */
	reopen() {
		this.leave();
		this.open();
	}

	/** Done with it: no event comes any more, and nothing is tried again. */
	end() {
		this.#over = true;
		this.#queue = [];
		this.#options.cancel(this.#timer);
		clearInterval(this.#looking);
		this.leave();
	}

	/** Hang up without a word. The next command opens a new connection. */
	leave() {
		if (this.#socket === null) return;
		Object.assign(this.#socket, { onopen: null, onmessage: null, onclose: null });
		this.#socket.close();
		this.#socket = null;
	}

	/** Leave a connection that has gone silent, and go on with the answer on a new one. */
	#look() {
		const { now, cursor } = this.#options;
		const due = this.#unconfirmed !== null || "response_id" in cursor();
		if (!this.isOpen || !due || now() - this.#heardAt < SILENCE_MS) return;
		this.leave();
		this.#attempt = 0;
		void this.#closed({ code: 1006, reason: "", opened: true });
	}

	async #closed({ code, reason, opened }) {
		const { on, cursor, probe } = this.#options;
		if (this.#over) return;
		if (code === POLICY && !TIME_LIMITS.has(reason)) return this.#refused(reason);
		const from = cursor();
		// It may have been taken: by its key the server knows it again, and answers and bills it once.
		if (this.#unconfirmed) this.#queue = [this.#unconfirmed];
		if ("response_id" in from) on({ type: "page:dropped" });
		else if (this.#queue.length === 0 && !("session_id" in from)) return on({ type: "page:connection", state: "asleep" });
		on({ type: "page:connection", state: "reconnecting" });
		if (!opened && !this.#promising(await probe())) return;
		if (this.#over) return;
		this.#attempt += 1;
		if (this.#attempt > ATTEMPTS) return this.#giveUp();
		this.#timer = this.#options.schedule(
			() => this.open(),
			backoffMs(this.#attempt, this.#options.random()),
		);
	}

	/** Is there any use in trying again? */
	#promising({ status, error }) {
		if (this.#over) return false;
		if (status === 401 || status === 403) {
			this.#refused(error?.message ?? "", error?.code ?? "invalid_api_key");
			return false;
		}
		return true;
	}

	#refused(reason, code = "policy") {
		const { on } = this.#options;
		[this.#queue, this.#unconfirmed] = [[], null];
		on({ type: "page:lost", error: { code, message: reason } });
		on({ type: "page:connection", state: "refused", reason, code });
	}

	#giveUp() {
		const { on } = this.#options;
		[this.#queue, this.#unconfirmed] = [[], null];
		this.#attempt = 0;
		on({ type: "page:lost", error: { code: "server_unreachable" } });
		on({ type: "page:connection", state: "unreachable" });
	}
}
