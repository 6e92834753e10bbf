/** The conversations: which there are, which one is on the page, and that all tabs and devices show the same. */

import { History } from "./history.js";
import { t } from "./i18n.js";
import { store, stored } from "./storage.js";
import { errorInWords } from "./words.js";

const PAUSE_MS = 1_000;
const UNFINISHED = "kosmosx-unfinished"; // the conversation whose answer came as this tab was reloaded

export class Archive {
	entries = [];
	chat = null;
	#history;
	#looking = null;
	#reader = null;

	constructor({ api, pictures, page }) {
		Object.assign(this, { api, pictures, page });
		this.#history = new History(api);
	}

	get shown() {
		return this.chat.state.shown;
	}

	get entry() {
		return this.#entry(this.shown);
	}

	#entry(id) {
		return this.entries.find((each) => each.id === id) ?? null;
	}

	async open(id) {
		this.#show(id);
		if (id !== null) await this.attempt(() => this.#catchUp(id));
	}

	#show(conversation) {
		this.chat.dispatch({ type: "page:shown", conversation });
		this.page.shown();
	}

	/** Read a conversation from the server; `quietly`: it is only to be kept in step. */
	async load(id, { quietly = false } = {}) {
		await this.attempt(async () => (await this.#reading()).reload(id), quietly);
	}

	/** What reads conversations is loaded with the first one. */
	async #reading() {
		const { Reader } = await import("./reading.js");
		return (this.#reader ??= new Reader(this));
	}

	async #catchUp(id) {
		await (await this.#reading()).catchUp(id);
	}

	/** There is a conversation for what is asked. */
	async ensure(question) {
		if (this.shown) return;
		const made = await this.#history.create(question);
		this.#note(made);
		this.chat.dispatch({ type: "page:created", conversation: made.id });
	}

	async rename(id, title) {
		const entry = this.#entry(id);
		if (entry && title && title !== entry.title) await this.attempt(() => this.describe({ ...entry, title }));
	}

	async remove(id) {
		await this.attempt(async () => {
			await this.#history.remove(id);
			this.#gone(id);
		});
	}

	#gone(id) {
		this.entries = this.entries.filter((each) => each.id !== id);
		const keys = this.chat.state.turns.filter(({ conversation }) => conversation === id).map(({ key }) => key);
		this.chat.dispatch({ type: "page:removed", keys });
		if (this.shown === id) this.#show(null);
	}

	async describe(entry) {
		await this.#history.describe(entry);
		this.#note(entry);
	}

	/** An entry as it is now; a new one stands first. */
	#note(entry) {
		const known = this.#entry(entry.id);
		this.entries = known ? this.entries.map((each) => (each === known ? entry : each)) : [entry, ...this.entries];
		this.page.changed();
	}

	/** The conversations that say these words, with where they do. */
	search(words) {
		return this.#history.search(words);
	}

	// -- in step --

	began({ conversation, fork }) {
		store("sessionStorage", UNFINISHED, conversation);
		const entry = this.#entry(conversation);
		if (fork && entry) void this.attempt(() => this.describe({ ...entry, branches: fork.branches }));
	}

	ended(key) {
		store("sessionStorage", UNFINISHED, null);
		const entry = this.#entry(this.chat.turn(key)?.conversation);
		if (entry) this.entries = [entry, ...this.entries.filter((each) => each !== entry)];
	}

	/** Hear at once what changes, here or on another device, for as long as the page is looked at. */
	async look(looked) {
		this.#looking?.abort();
		if (!looked) return;
		const { signal } = (this.#looking = new AbortController());
		while (!signal.aborted) {
			try {
				for await (const event of this.api.events("GET", "/v1/conversations/events", { signal })) {
					if (event.type === "kosmosx:conversation.changed") void this.attempt(() => this.#heard(event), true);
				}
			} catch (error) {
				if ([401, 403].includes(error.status)) return; // The key is no good, and gets no better.
				// The server is away, or the page is no longer looked at.
			}
			await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * (1 + Math.random())));
		}
	}

	async #heard({ conversation_id: id, response_id: responseId, deleted }) {
		if (id === null) return this.#lookAgain();
		if (deleted) return this.#gone(id);
		if (responseId) {
			if (id === this.shown && !this.chat.liveHere) await (await this.#reading()).follow(id, responseId);
			return;
		}
		const own = this.chat.liveHere; // What it changes, this page knows.
		this.#note(await this.#history.entry(id));
		if (id === this.shown && !own && !this.chat.liveHere) await this.#catchUp(id);
	}

	/** Something may have been missed, or this is the first look. */
	async #lookAgain() {
		const before = this.entries;
		const listed = await this.#history.list();
		const ids = new Set(listed.map(({ id }) => id));
		const madeMeanwhile = this.entries.filter((each) => !before.includes(each) && !ids.has(each.id));
		this.entries = [...madeMeanwhile, ...listed];
		const left = this.shown ?? stored("sessionStorage", UNFINISHED);
		const known = this.#entry(left);
		if (!known && this.shown) this.#show(null);
		if (!known || this.chat.liveHere) return;
		if (!this.shown) this.#show(left);
		await this.#catchUp(left);
	}

	/** What goes wrong is told, unless it was done `quietly`. */
	async attempt(work, quietly = false) {
		try {
			await work();
		} catch (error) {
			if (!quietly) this.page.say(error.status === undefined ? t("That did not work.") : errorInWords(error));
		}
		this.page.changed();
	}
}
