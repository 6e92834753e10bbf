/** State → page. Draws; decides nothing. Given equal state it leaves the page as it is. */

import { isLive, liveTurn, shownTurns } from "./conversation.js";
import { button, byId, reconcile, setText, update } from "./dom.js";
import { t } from "./i18n.js";
import { Speech } from "./speech.js";
import { Stage } from "./stage.js";
import { CONNECTION, errorInWords } from "./words.js";

const NEAR_END_PX = 80;
const IDEAS = {
	picture: ["Describe the picture in detail.", "How many objects are there?", "What colours do you see?"],
	words: ["Hello! What can you do?"],
};

export class View {
	#meter = null;
	#speech = new Speech(byId("speech"));
	#drawn = new Map(); // key → what its article was drawn from
	#marks = new Map(); // key → {groundings, marks}
	#answers = null;
	#failed = null; // key of the turn whose failure was told last

	constructor({ pictures, composer, sidebar, page }) {
		Object.assign(this, { pictures, composer, sidebar });
		this.stage = new Stage({ pictures, marks: (turn) => this.marks(turn), page });
	}

	/** `ui` is what is not part of the conversation; `chat` is null without a key. */
	render(chat, ui) {
		const { state } = chat;
		const log = byId("log");
		// Read before anything is written, and written last: the browser lays the page out once.
		const follows = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
		const turns = shownTurns(state);
		const live = turns.find(isLive) ?? liveTurn(state);
		const closed = state.session?.status === "closed";
		const ready = ui.key !== null && !closed;
		document.body.dataset.phase = ui.key === null ? "locked" : closed ? "closed" : "open";
		this.#status(ui, live, closed);
		this.#meter?.render(state);
		this.#controls(state, ui, live, { closed, ready, closing: chat.closing, turns });
		this.#log(turns, ui, live, chat);
		this.stage.render(state, this.composer.drafts);
		const pictured = turns.some(({ pictures }) => pictures.length);
		this.composer.render({ ready, live, closing: chat.closing, pictured });
		this.#ideas(ready && !live, turns);
		this.sidebar?.render();
		this.light(ui.lit);
		const spoken = turns.find(isLive) ?? turns.at(-1);
		if (spoken) this.#speak(spoken);
		if (follows) log.scrollTop = log.scrollHeight;
	}

	/** The language changed: draw all anew. */
	forget() {
		this.#drawn.clear();
		void this.stage.loadSamples();
	}

	/** Light up a phrase and its boxes, wherever the pointer or the focus is. */
	light(ref) {
		this.stage.light(ref);
		const other = ref ? `:not([data-ref="${CSS.escape(ref)}"])` : "";
		for (const phrase of document.querySelectorAll(`.phrase.lit${other}`)) phrase.classList.remove("lit");
		if (ref) for (const phrase of phrasesOf(ref)) phrase.classList.add("lit");
	}

	/** Bring a phrase into view and keep it lit (its box was chosen on the picture). */
	focusPhrase(ref) {
		phrasesOf(ref)[0]?.focus();
	}

	say(words) {
		this.#speech.say(words);
	}

	/** The phrases of a turn. Its text only grows meanwhile, so that their places stay. */
	marks({ key, text, groundings }) {
		if (!this.#answers) return [];
		const known = this.#marks.get(key);
		if (known?.groundings === groundings) return known.marks;
		const marks = this.#answers.marksOf(key, text, groundings);
		this.#marks.set(key, { groundings, marks });
		return marks;
	}

	#status(ui, live, closed) {
		const state = closed ? "closed" : live && (live.theirs || ui.connection === "open") ? "streaming" : ui.connection;
		byId("status").dataset.state = state;
		setText(byId("status"), t(CONNECTION[state]));
	}

	#controls(state, ui, live, { closed, closing, turns }) {
		const open = state.session?.status === "open";
		byId("key-form").hidden = ui.key !== null || ui.checkingKey;
		setText(byId("key-error"), ui.keyError ?? "");
		setText(byId("notice"), ui.notice ?? "");
		byId("close-session").hidden = !open;
		byId("close-session").disabled = closing;
		byId("closed").hidden = !closed;
		byId("show-receipt").hidden = !state.session?.receipt;
		byId("toggle-archive").hidden = ui.key === null;
		byId("archive").hidden = ui.key === null;
		const has = { key: ui.key !== null && !live && !open, "any-key": ui.key !== null, turns: turns.length > 0 };
		for (const each of byId("menu").querySelectorAll("[data-needs]")) each.disabled = !has[each.dataset.needs];
	}

	#log(turns, ui, live, chat) {
		if (turns.length > 0 && !this.#answers) return void this.loadAnswers().then(chat.page.changed);
		const log = byId("log");
		log.setAttribute("aria-busy", String(turns.some(isLive)));
		log.hidden = turns.length === 0;
		byId("welcome").hidden = turns.length > 0 || !byId("key-form").hidden;
		const busy = live !== null || chat.closing || document.body.dataset.phase !== "open";
		const branches = chat.archive?.entry?.branches ?? [];
		let parent = null;
		turns.forEach((turn, index) => {
			this.#draw(log, turn, { index, busy, version: this.#answers.versionAfter(branches, parent), editing: ui.editing === turn.key });
			if (turn.responseId && turn.status !== "failed") parent = turn;
		});
		while (log.childElementCount > turns.length) log.lastElementChild.remove();
	}

	/** What draws answers and their figures is loaded with the first one. */
	async loadAnswers() {
		const [answers, { Meter }] = await Promise.all([import("./answers.js"), import("./meter.js")]);
		this.#answers = answers;
		this.#meter ??= new Meter(byId("meter"));
	}

	#draw(log, turn, context) {
		const { index, busy, editing, version } = context;
		const from = [turn, index, busy, editing, version.number, version.count];
		const old = log.children[index];
		const same = old?.dataset.key === turn.key;
		if (same && this.#drawn.get(turn.key)?.every((each, at) => each === from[at])) return;
		this.#drawn.set(turn.key, from);
		const pictures = turn.pictures.map((key) => this.pictures.get(key)).filter(Boolean);
		const fresh = this.#answers.article(turn, { ...context, pictures });
		if (same) update(old, fresh);
		else if (old) old.replaceWith(fresh);
		else log.append(fresh);
		this.#answers.write(log.children[index].querySelector(".answer"), turn, this.marks(turn));
	}

	#ideas(offered, turns) {
		const { drafts } = this.composer;
		const fitting = IDEAS[drafts.length ? "picture" : "words"];
		const ideas = offered && (drafts.length || turns.length === 0) ? fitting : [];
		reconcile(byId("ideas"), ideas.map((idea) => button({ "data-idea": idea, lang: "en" }, idea)));
	}

	#speak(turn) {
		this.#speech.follow(turn, !isLive(turn));
		if (turn.status !== "failed" || this.#failed === turn.key) return;
		this.#failed = turn.key;
		this.#speech.say(errorInWords(turn.error ?? {}));
	}
}

const phrasesOf = (ref) => document.querySelectorAll(`.phrase[data-ref="${CSS.escape(ref)}"]`);
