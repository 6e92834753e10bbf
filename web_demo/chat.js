/** Asking and answering: what the user wants of the conversation, and what the server says to it. */

import { ENDINGS, isAboutSession } from "./api.js";
import { cursor, EMPTY, isLive, liveTurn, reduce, shownTurns } from "./conversation.js";
import { preferences } from "./preferences.js";
import { t } from "./i18n.js";
import { errorInWords } from "./words.js";

const CLOSE_TIMEOUT_MS = 8_000;

const newKey = () => crypto.randomUUID?.() ?? `${Math.random()}`; // on an insecure origin there is no UUID

export class Chat {
	state = EMPTY;
	connection = null;
	closing = false;
	#closeTimer = null;
	#transport = null;
	asked = 0; // questions, on this page

	/** `page`: `changed()`, `say(notice)`, `connectionChanged(event)`, `sessionClosed()`. */
	constructor({ api, model, archive, pictures, page }) {
		Object.assign(this, { api, model, archive, pictures, page });
		archive.chat = this;
	}

	/** A connection of the preferred kind; the open session goes over to it. */
	async connect() {
		const { transport } = preferences;
		if (transport === this.#transport) return;
		const sse = transport === "sse";
		const Kind = sse ? (await import("./sse.js")).SseConnection : (await import("./connection.js")).Connection;
		this.connection?.end();
		const { api } = this;
		this.connection = new Kind({ api, origin: api.origin, key: api.key, cursor: () => cursor(this.state), on: (event) => this.dispatch(event) });
		this.#transport = transport;
	}

	dispatch(event) {
		const before = this.state;
		this.state = reduce(before, event, performance.now());
		const live = liveTurn(this.state);
		if (event.type === "page:connection") this.#connectionChanged(event);
		if (event.type === "error") this.#refused(event, before);
		if (event.type === "kosmosx:budget.warning") this.page.say(t("Less than a tenth of this month's budget is left."));
		if (event.type === "page:session_lost") this.#sessionLost();
		if (event.type === "kosmosx:session.closed") this.#sessionClosed();
		if (event.type === "response.created" && live && !event.turn) {
			if (live.stopping) this.#sendStop(live);
			this.archive.began(live);
		}
		if (event.type in ENDINGS) this.archive.ended(event.turn ?? liveTurn(before)?.key);
		if (liveTurn(before) && !live && this.closing) this.#requestClose();
		this.page.changed();
	}

	get live() {
		return liveTurn(this.state);
	}

	/** The answer that comes in the conversation on the page, whoever asked. */
	get liveHere() {
		return shownTurns(this.state).find(isLive) ?? null;
	}

	turn(key) {
		return this.state.turns.find((turn) => turn.key === key);
	}

	// -- questions --

	/** `fork`: as versions.js makes it, for another version of what followed a turn. */
	async ask(question, pictures = [], { temperature = 0, fork = null, idempotencyKey = newKey() } = {}) {
		if (question === "" || this.live || this.liveHere || this.closing) return;
		this.asked += 1;
		const key = `turn-${this.asked}`;
		this.dispatch({ type: "page:asked", turn: { key, question, pictures, temperature, fork, idempotencyKey } });
		try {
			await Promise.all([this.archive.ensure(question), this.connect()]);
		} catch (error) {
			const { status = 0, code = "server_unreachable", message } = error;
			this.dispatch({ type: "page:lost", turn: key, error: { status, code, message } });
			return;
		}
		if (!this.turn(key)) return;
		this.connection.send({ type: "response.create", "kosmosx:idempotency_key": idempotencyKey, ...this.requestOf(this.turn(key)) });
	}

	/** The body of the request that asked this. */
	requestOf({ question, pictures, conversation, fork, temperature = 0 }) {
		const content = [{ type: "input_text", text: question }];
		for (const { dataUrl } of pictures.map((each) => this.pictures.get(each)).filter(Boolean)) {
			content.push({ type: "input_image", image_url: dataUrl, detail: "auto" });
		}
		return {
			model: this.model,
			input: [{ type: "message", role: "user", content }],
			...(conversation && { conversation }),
			...(fork?.after && { previous_response_id: fork.after }),
			store: true,
			truncation: "auto",
			temperature,
		};
	}

	/** The network is back: no need to wait any longer. */
	async hurry() {
		if (this.live?.responseId) this.connection.reopen();
		else this.archive.look(true);
	}

	stop() {
		const turn = this.live ?? this.liveHere;
		if (!turn || turn.stopping) return;
		this.dispatch({ type: "page:stopping", turn: turn.key });
		if (turn.responseId) this.#sendStop(turn);
	}

	#sendStop({ theirs, responseId }) {
		if (theirs) void this.api.post(`/v1/responses/${responseId}/cancel`).catch(() => {});
		else this.connection.send({ type: "kosmosx:response.cancel", response_id: responseId });
	}

	// -- connection and session --

	#connectionChanged(event) {
		if (event.state === "asleep" && this.closing && this.state.session?.status === "open") {
			void this.#closeOverHttp();
		}
		this.page.connectionChanged(event);
	}

	/** An error that belongs to no question is shown by itself. */
	#refused({ type, status, error }, before) {
		if (isAboutSession({ type, error })) this.connection.leave(); // the next question opens another
		if (liveTurn(before)) return;
		if (this.closing) void this.#closeOverHttp();
		else if (!before.turns.at(-1)?.stopping) this.page.say(errorInWords({ status, ...error }));
	}

	/** The server closed the session while we were away: the answer is read to its end without it. */
	#sessionLost() {
		this.closing = false;
		this.page.say(t("The session was closed while you were away. The next question opens a new one."));
		if (this.live?.responseId) this.connection.reopen();
	}

	closeSession() {
		if (this.closing || this.state.session?.status !== "open") return;
		this.closing = true;
		if (this.live) this.stop();
		else this.#requestClose();
		this.page.changed();
	}

	#requestClose() {
		if (!this.connection.isOpen) return void this.#closeOverHttp();
		this.connection.send({ type: "kosmosx:session.close" });
		this.#closeTimer = setTimeout(() => this.#closeOverHttp(), CLOSE_TIMEOUT_MS);
	}

	/** The socket is gone, or silent: close by the other door. Closing twice gives the same receipt. */
	async #closeOverHttp() {
		clearTimeout(this.#closeTimer);
		const path = `/v1/sessions/${encodeURIComponent(this.state.session.id)}`;
		try {
			await this.api.delete(path);
			const session = await this.api.get(path);
			if (session.status !== "closed") throw new Error("still open");
			this.dispatch({ type: "kosmosx:session.closed", session });
		} catch (error) {
			this.closing = false;
			const again = t("The session could not be closed. Try again in a moment.");
			this.page.say(error.status === 401 ? errorInWords(error) : again);
		}
	}

	#sessionClosed() {
		clearTimeout(this.#closeTimer);
		this.closing = false;
		this.page.sessionClosed();
	}

	/** After the receipt: the conversation stays, the next question opens a session. */
	newSession() {
		this.connection.leave();
		this.dispatch({ type: "page:session_over" });
	}

	end() {
		this.connection?.end();
	}
}
