/** The conversations: which there are, which one is on the page, and that all tabs and devices show the same. */

import { isLive, shownTurns } from "./conversation.js";
import { forkAfter, History, leaving, versionAt } from "./history.js";
import { t } from "./i18n.js";
import { store, stored } from "./storage.js";
import { errorInWords } from "./words.js";

const PAUSE_MS = 1_000;
const ATTEMPTS = 20;
const UNFINISHED = "kosmosx-unfinished"; // the conversation whose answer came as this tab was reloaded

export class Archive {
	entries = [];
	chat = null;
	#history;
	#looking = null;
	#seen = 0;

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
		if (id !== null) await this.#attempt(() => this.#catchUp(id));
	}

	#show(conversation) {
		this.chat.dispatch({ type: "page:shown", conversation });
		this.page.shown();
	}

	/** Read a conversation from the server; `quietly`: it is only to be kept in step. */
	async load(id, { quietly = false } = {}) {
		await this.#attempt(() => this.#reload(id), quietly);
	}

	/** What was read before a question was asked is older than what the page knows. */
	async #reload(id) {
		const { asked } = this.chat;
		const turns = await this.#read(id);
		if (asked === this.chat.asked) this.#place(id, turns);
	}

	async #read(id) {
		const turns = await this.#history.turns(id);
		for (const turn of turns) await this.#takePictures(turn, id);
		return turns;
	}

	#place(conversation, turns) {
		this.chat.dispatch({ type: "page:loaded", conversation, turns });
	}

	/** The pictures of a turn, each fetched once. */
	async #takePictures(turn, conversation) {
		for (const image of turn.images.filter(({ id }) => !this.pictures.has(id))) {
			const { pictureFromDataUrl } = await import("./picture.js");
			const url = image.url ?? (await this.#history.picture(conversation, image));
			if (url) this.pictures.set(image.id, await pictureFromDataUrl(image.id, url));
		}
		turn.pictures = turn.images.map(({ id }) => id).filter((id) => this.pictures.has(id));
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
		if (entry && title && title !== entry.title) await this.#attempt(() => this.#describe({ ...entry, title }));
	}

	async remove(id) {
		await this.#attempt(async () => {
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

	async #describe(entry) {
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

	// -- versions --

	/** Which version of what follows its parent a turn is: `{number, count}`. */
	versionAfter(parent) {
		return versionAt(this.entry?.branches ?? [], forkAfter(parent));
	}

	/** The newest turn on the page that the server has. */
	get #head() {
		return shownTurns(this.chat.state).findLast((each) => each.responseId && each.status !== "failed");
	}

	/**
	 * Leave a turn and what follows it: the next question goes on from its parent. The server leaves
	 * it with the answer; only before the first turn nothing can be gone on from by its id.
	 */
	async fork(turn, parent) {
		const branches = leaving(this.entry.branches, forkAfter(parent), this.#head.responseId);
		if (!parent) {
			await this.#describe({ ...this.entry, branches });
			await this.#history.moveHead(this.shown, null);
		}
		const turns = shownTurns(this.chat.state);
		this.chat.dispatch({ type: "page:removed", keys: turns.slice(turns.indexOf(turn)).map(({ key }) => key) });
		return { after: parent?.responseId ?? null, branches };
	}

	/** Show the version with this number instead. */
	async switchVersion(parent, number) {
		await this.#attempt(async () => {
			const { entry } = this;
			const fork = forkAfter(parent);
			const chosen = entry.branches.find((each) => each.at === fork && each.number === number);
			if (!chosen || this.chat.liveHere) return;
			const branches = leaving(entry.branches, fork, this.#head.responseId, number);
			await this.#history.moveHead(entry.id, chosen.head);
			await this.#describe({ ...entry, branches });
			this.#place(entry.id, await this.#read(entry.id));
		});
	}

	// -- in step --

	began({ conversation, fork }) {
		store("sessionStorage", UNFINISHED, conversation);
		const entry = this.#entry(conversation);
		if (fork && entry) void this.#attempt(() => this.#describe({ ...entry, branches: fork.branches }));
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
					if (event.type === "kosmosx:conversation.changed") void this.#attempt(() => this.#heard(event), true);
				}
			} catch {
				// The server is away, or the page is no longer looked at.
			}
			await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * (1 + Math.random())));
		}
	}

	async #heard({ conversation_id: id, response_id: responseId, deleted }) {
		if (id === null) return this.#lookAgain();
		if (deleted) return this.#gone(id);
		if (responseId) {
			if (id === this.shown && !this.chat.liveHere) await this.follow(id, responseId);
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

	/** All that was said, and then the answer that comes, whoever asked. */
	async #catchUp(id) {
		await this.#reload(id);
		const { live } = await this.#history.entry(id);
		if (live && !this.chat.liveHere) await this.follow(id, live);
	}

	/** Read along with an answer that was asked for elsewhere. */
	async follow(conversation, responseId) {
		if (this.chat.state.turns.some((turn) => turn.responseId === responseId)) return;
		const asked = await this.#history.question(responseId);
		await this.#reload(conversation);
		await this.#takePictures(asked, conversation);
		if (this.chat.state.turns.some((turn) => turn.responseId === responseId)) return;
		const key = `theirs-${(this.#seen += 1)}`;
		const { question, pictures } = asked;
		this.chat.dispatch({ type: "page:asked", turn: { key, question, pictures, responseId, conversation, theirs: true } });
		await this.#readAlong(key, responseId);
		await this.load(conversation, { quietly: true });
	}

	async #readAlong(key, responseId) {
		const goesOn = () => this.chat.turn(key) && isLive(this.chat.turn(key));
		for (let attempt = 0; attempt < ATTEMPTS && goesOn(); attempt += 1) {
			const path = `/v1/responses/${responseId}?stream=true&starting_after=${this.chat.turn(key).lastSequence}`;
			try {
				for await (const event of this.api.events("GET", path)) this.chat.dispatch({ ...event, turn: key });
			} catch {
				await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
			}
		}
		this.chat.dispatch({ type: "page:lost", turn: key, error: { code: "server_unreachable" } });
	}

	async #attempt(work, quietly = false) {
		try {
			await work();
		} catch (error) {
			if (!quietly) this.page.say(error.status === undefined ? t("That did not work.") : errorInWords(error));
		}
		this.page.changed();
	}
}
