/**
 * The same as `Connection`, over HTTP and server-sent events: each question is a POST whose answer
 * streams; after a drop a GET goes on where it stopped.
 */

import { ENDINGS } from "./api.js";
import { ATTEMPTS, backoffMs, isStillTaken } from "./connection.js";

const EVENTS = { "X-Kosmosx-Events": "1" };

export class SseConnection {
	isOpen = false; // there is no socket to say goodbye on
	#abort = new AbortController();

	constructor({ api, cursor, on, random = Math.random, pause = wait }) {
		Object.assign(this, { api, cursor, on, random, pause });
	}

	send({ type, "kosmosx:idempotency_key": key, ...body }) {
		if (type === "response.create") void this.#create(body, key);
		if (type === "kosmosx:response.cancel") {
			void this.api.post(`/v1/responses/${body.response_id}/cancel`).catch(() => {});
		}
	}

	reopen() {
		this.leave();
		void this.#follow(this.#abort.signal);
	}

	leave() {
		this.#abort.abort();
		this.#abort = new AbortController();
	}

	end() {
		this.leave();
		this.on = () => {};
	}

	async #create(body, key) {
		const { signal } = this.#abort;
		this.#state("connecting");
		try {
			const session = this.cursor().session_id ?? (await this.#session());
			// The same key again gets the same response: what was sent may be sent again.
			const headers = { ...EVENTS, "X-Kosmosx-Session": session, "Idempotency-Key": key };
			const request = { body: { ...body, stream: true }, headers, signal };
			if (!(await this.#read(["POST", "/v1/responses", request]))) await this.#follow(signal, request);
		} catch (error) {
			this.#fail(error);
		}
	}

	/** Until the answer ends; every break is waited out, and told. */
	async #follow(signal, request = null) {
		try {
			for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
				const { response_id: id, starting_after: after } = this.cursor();
				if (id) this.on({ type: "page:dropped" });
				this.#state("reconnecting");
				await this.pause(backoffMs(attempt, this.random()));
				if (signal.aborted) return;
				const path = `/v1/responses/${id}?stream=true&starting_after=${after}`;
				const call = id ? ["GET", path, { headers: EVENTS, signal }] : ["POST", "/v1/responses", request];
				const seen = after;
				if (await this.#read(call, id)) return;
				if (this.cursor().starting_after > seen) attempt = 0;
			}
			this.on({ type: "page:lost", error: { code: "server_unreachable" } });
			this.#state("unreachable");
		} catch (error) {
			this.#fail(error);
		}
	}

	/** Whether the answer came to its end. */
	async #read([method, path, options], resumed) {
		try {
			for await (const event of this.api.events(method, path, options)) {
				if (event.type === "page:answered") {
					this.#state("open");
					if (resumed) this.on({ type: "page:resumed" });
				} else this.on(event);
				if (event.type in ENDINGS) return true;
			}
		} catch (error) {
			const refused = error.status > 0 && error.status < 500 && !isStillTaken(error);
			if (refused || options.signal.aborted) throw error;
		}
		return false;
	}

	async #session() {
		const session = await this.api.post("/v1/sessions");
		this.on({ type: "kosmosx:session.opened", session });
		return session.id;
	}

	#fail(error) {
		if (error.name === "AbortError") return;
		const { status, code, message } = error;
		this.on({ type: "error", status, error: { code, message } });
		this.#state(status ? "open" : "unreachable");
	}

	#state(state) {
		this.on({ type: "page:connection", state });
	}
}

function wait(ms) {
	return new Promise((resolve) => setTimeout(resolve, ms));
}
