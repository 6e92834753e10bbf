/** The list of conversations: search, open, rename, delete. Draws; tells what is wanted by events. */

import { button, byId, el, reconcile, setText } from "./dom.js";
import { icon } from "./icons.js";
import { language, t } from "./i18n.js";

const PAUSE_MS = 250; // after the last letter, before the server looks into what was said

export class Sidebar {
	archive = null;
	#renaming = null;
	#found = []; // entries that say what is searched for
	#timer = null;
	#drawn = [];

	constructor() {
		byId("search").oninput = () => this.#search();
		byId("conversations").onclick = ({ target }) => this.#click(target.closest("button"));
		byId("conversations").onkeydown = (event) => this.#key(event);
		byId("conversations").addEventListener("focusout", ({ target }) => {
			if (target.matches("input")) this.#rename(target.value);
		});
	}

	/** In narrow windows it lies over the page. */
	show(shown) {
		document.body.toggleAttribute("data-archive", shown);
		byId("toggle-archive").setAttribute("aria-expanded", String(shown));
		if (shown) byId("search").focus();
	}

	get isShown() {
		return document.body.hasAttribute("data-archive");
	}

	get #wanted() {
		return byId("search").value.trim();
	}

	/** Titles are looked through at once, what was said a moment later. */
	#search() {
		const wanted = this.#wanted;
		clearTimeout(this.#timer);
		this.#found = [];
		this.render();
		if (wanted.length < 2) return;
		this.#timer = setTimeout(async () => {
			const found = await this.archive.search(wanted).catch(() => []);
			if (wanted !== this.#wanted) return;
			this.#found = found;
			this.render();
		}, PAUSE_MS);
	}

	render() {
		if (this.archive === null) return;
		const { entries, shown } = this.archive;
		const from = [entries, shown, this.#wanted, this.#found, this.#renaming, language];
		if (from.every((each, at) => each === this.#drawn[at])) return;
		this.#drawn = from;
		const wanted = this.#wanted.toLocaleLowerCase();
		const says = new Map(this.#found.map(({ id, found }) => [id, found]));
		const listed = entries.filter(({ id, title }) => says.has(id) || title.toLocaleLowerCase().includes(wanted));
		const hit = ({ id, title }) => (title.toLocaleLowerCase().includes(wanted) ? null : says.get(id));
		reconcile(byId("conversations"), listed.map((entry) => this.#row(entry, hit(entry))));
		setText(byId("no-conversations"), listed.length ? "" : t(wanted ? "Nothing found." : "What you ask is kept here."));
	}

	#row({ id, title }, found) {
		const name = title || t("Without a title");
		if (id === this.#renaming) {
			const field = el("input", { value: title, "aria-label": t("Title"), maxlength: "120", dir: "auto" });
			return el("li", { "data-key": `${id} renamed`, "data-id": id }, field);
		}
		const action = (kind, drawing, label) =>
			button({ class: "act quiet", "data-row": kind, "aria-label": `${label}: ${name}`, title: label }, icon(drawing));
		return el(
			"li",
			{ "data-key": id, "data-id": id },
			button(
				{ class: "quiet title", "data-row": "open", "data-turn": found?.turn_id, "aria-current": id === this.archive.shown && "true", dir: "auto" },
				name,
				found && el("small", {}, found.before, el("mark", {}, found.words), found.after),
			),
			action("rename", "pencil", t("Rename")),
			action("delete", "bin", t("Delete")),
		);
	}

	#click(pressed) {
		const id = pressed?.closest("li")?.dataset.id;
		const kind = pressed?.dataset.row;
		if (kind === "open") this.onOpen(id, pressed.dataset.turn);
		if (kind === "delete") this.onDelete(this.archive.entries.find((each) => each.id === id));
		if (kind !== "rename") return;
		this.#renaming = id;
		this.render();
		byId("conversations").querySelector("input").select();
	}

	#key(event) {
		if (!event.target.matches("input")) return;
		if (event.key !== "Escape" && event.key !== "Enter") return;
		event.stopPropagation();
		this.#rename(event.key === "Enter" ? event.target.value : "");
	}

	#rename(title) {
		const id = this.#renaming;
		if (id === null) return; // The field that loses its focus as it is taken away.
		this.#renaming = null;
		this.render();
		void this.archive.rename(id, title.trim());
	}
}
