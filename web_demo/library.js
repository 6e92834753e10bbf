/** The conversations: which there are, which one is on the page, and that all tabs show the same. */

import { isLive, parentOf, shownTurns } from "./conversation.js";
import { forkAfter, History, leaving, versionAt } from "./history.js";
import { noteUnfinished, Tabs, unfinished } from "./tabs.js";
import { t } from "./i18n.js";
import { errorInWords } from "./words.js";

const FOLLOW_PAUSE_MS = 500;
const FOLLOW_ATTEMPTS = 20;

export class Library {
	entries = [];
	chat = null;
	#history;
	#tabs;
	#seen = 0;

	constructor({ api, pictures, page }) {
		Object.assign(this, { api, pictures, page });
		this.#history = new History(api);
		this.#tabs = new Tabs((message) => void this.#heard(message));
	}

	get shown() {
		return this.chat.state.shown;
	}

	get entry() {
		return this.entries.find(({ id }) => id === this.shown) ?? null;
	}

	/** What the server has, as of now. */
	async refresh() {
		await this.#attempt(async () => {
			this.entries = await this.#history.list();
			if (this.shown && !this.entry) this.#show(null);
		});
	}

	#show(conversation) {
		this.chat.dispatch({ type: "page:shown", conversation });
		this.page.shown();
	}

	async open(id) {
		this.#show(id);
		if (id === null) return;
		await this.load(id);
		this.#tabs.tell("looking", id); // Is an answer under way there?
	}

	/** The first look; an answer that a reload has cut off is read on. */
	async arrive() {
		await this.refresh();
		const { conversation, responseId } = unfinished() ?? {};
		if (!this.entries.some(({ id }) => id === conversation)) return;
		this.#show(conversation);
		await this.follow(conversation, responseId);
	}

	/** Read a conversation from the server; `quietly`: it is only to be kept in step. */
	async load(id, { quietly = false } = {}) {
		await this.#attempt(async () => this.#place(id, await this.#read(id)), quietly);
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
		this.entries = [made, ...this.entries];
		this.chat.dispatch({ type: "page:created", conversation: made.id });
		this.#tabs.tell("changed", made.id);
	}

	async rename(id, title) {
		const entry = this.entries.find((each) => each.id === id);
		if (!entry || title === "" || title === entry.title) return;
		await this.#attempt(async () => {
			await this.#describe({ ...entry, title });
			this.#tabs.tell("changed", id);
		});
	}

	async remove(id) {
		await this.#attempt(async () => {
			await this.#history.remove(id);
			this.entries = this.entries.filter((each) => each.id !== id);
			const { turns } = this.chat.state;
			const keys = turns.filter((turn) => turn.conversation === id).map(({ key }) => key);
			this.chat.dispatch({ type: "page:removed", keys });
			if (this.shown === id) this.#show(null);
			this.#tabs.tell("changed", id);
		});
	}

	async #describe(entry) {
		await this.#history.describe(entry);
		this.#note(entry);
	}

	#note(entry) {
		this.entries = this.entries.map((each) => (each.id === entry.id ? entry : each));
		this.page.changed();
	}

	// -- versions --

	/** Which version of what follows its parent this turn is: `{number, count}`. */
	versionOf(turn) {
		const parent = parentOf(this.chat.state, turn);
		return versionAt(this.entry?.branches ?? [], forkAfter(parent));
	}

	/** Leave a turn and what follows it; the next question goes on from its parent. */
	async fork(turn, parent) {
		const { entry } = this;
		const head = shownTurns(this.chat.state).findLast((each) => each.responseId && each.status !== "failed");
		const branches = leaving(entry.branches, forkAfter(parent), head.responseId);
		await this.#history.moveHead(entry.id, parent?.responseId ?? null);
		await this.#describe({ ...entry, branches });
		const turns = shownTurns(this.chat.state);
		const keys = turns.slice(turns.indexOf(turn)).map(({ key }) => key);
		this.chat.dispatch({ type: "page:removed", keys });
	}

	/** Show the version with this number instead. */
	async switchVersion(turn, number) {
		await this.#attempt(async () => {
			const { entry } = this;
			const fork = forkAfter(parentOf(this.chat.state, turn));
			const chosen = entry.branches.find((each) => each.at === fork && each.number === number);
			if (!chosen || this.chat.liveHere) return;
			const head = shownTurns(this.chat.state).findLast((each) => each.responseId && each.status !== "failed");
			await this.#history.moveHead(entry.id, chosen.head);
			const next = { ...entry, branches: leaving(entry.branches, fork, head.responseId, number) };
			await this.#history.describe(next);
			const turns = await this.#read(entry.id);
			this.#note(next);
			this.#place(entry.id, turns);
			this.#tabs.tell("changed", entry.id);
		});
	}

	// -- in step --

	began({ conversation, responseId }) {
		noteUnfinished({ conversation, responseId });
		this.#tabs.tell("began", conversation, responseId);
	}

	ended(key) {
		const turn = this.chat.turn(key);
		if (!turn) return;
		const entry = this.entries.find(({ id }) => id === turn.conversation);
		if (entry) this.entries = [entry, ...this.entries.filter((each) => each !== entry)];
		noteUnfinished(null);
		if (!turn.theirs) this.#tabs.tell("changed", turn.conversation);
	}

	/** The page is looked at again: another device may have gone on. */
	async catchUp() {
		await this.#attempt(() => this.#refreshAll(), true);
	}

	async #refreshAll() {
		await this.refresh();
		if (this.shown && !this.chat.liveHere) await this.load(this.shown, { quietly: true });
	}

	async #heard({ type, conversation, responseId }) {
		if (type === "changed") {
			await this.refresh();
			if (conversation === this.shown && !this.chat.liveHere) await this.load(conversation, { quietly: true });
		} else if (type === "looking") {
			const { live } = this.chat;
			if (live?.responseId && live.conversation === conversation) this.began(live);
		} else if (conversation === this.shown) await this.follow(conversation, responseId);
	}

	/** Read along with an answer that was asked for elsewhere. */
	async follow(conversation, responseId) {
		if (this.chat.state.turns.some((turn) => turn.responseId === responseId)) return;
		await this.#attempt(async () => {
			await this.load(conversation, { quietly: true });
			const asked = await this.#history.question(responseId);
			await this.#takePictures(asked, conversation);
			this.#seen += 1;
			const key = `theirs-${this.#seen}`;
			const { question, pictures } = asked;
			const turn = { key, question, pictures, responseId, conversation, theirs: true };
			this.chat.dispatch({ type: "page:asked", turn });
			await this.#readAlong(key, responseId);
			await this.load(conversation, { quietly: true });
		}, true);
	}

	async #readAlong(key, responseId) {
		for (let attempt = 0; attempt < FOLLOW_ATTEMPTS && this.#isLive(key); attempt += 1) {
			const path = `/v1/responses/${responseId}?stream=true&starting_after=${this.chat.turn(key).lastSequence}`;
			try {
				for await (const event of this.api.events("GET", path)) this.chat.dispatch({ ...event, turn: key });
			} catch {
				await new Promise((resolve) => setTimeout(resolve, FOLLOW_PAUSE_MS));
			}
		}
		this.chat.dispatch({ type: "page:lost", turn: key, error: { code: "server_unreachable" } });
	}

	#isLive(key) {
		const turn = this.chat.turn(key);
		return turn && isLive(turn);
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
