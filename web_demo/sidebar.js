/** The list of conversations: search, open, rename, delete. Draws; tells what is wanted by events. */

import { el, reconcile } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";

const byId = (id) => document.getElementById(id);

export class Sidebar {
	#renaming = null;

	library = null;

	constructor() {
		byId("search").oninput = () => this.render();
		byId("conversations").onclick = ({ target }) => this.#click(target.closest("button"));
		byId("conversations").onkeydown = (event) => this.#key(event);
		byId("conversations").addEventListener("focusout", ({ target }) => {
			if (target.matches("input")) this.#rename(target.value);
		});
	}

	render() {
		if (this.library === null) return;
		const wanted = byId("search").value.trim().toLocaleLowerCase();
		const found = this.library.entries.filter(({ title }) => title.toLocaleLowerCase().includes(wanted));
		reconcile(byId("conversations"), found.map((entry) => this.#row(entry)));
		const nothing = wanted ? t("Nothing found.") : t("What you ask is kept here.");
		byId("no-conversations").textContent = found.length ? "" : nothing;
	}

	#row({ id, title }) {
		const shown = id === this.library.shown;
		const name = title || t("Without a title");
		const renaming = id === this.#renaming;
		const action = (kind, drawing, label) =>
			el("button", { type: "button", class: "act quiet", "data-row": kind, "aria-label": `${label}: ${name}`, title: label }, icon(drawing));
		return el(
			"li",
			{ "data-key": `${id}${renaming}`, "data-id": id },
			renaming
				? el("input", { value: title, "aria-label": t("Title"), maxlength: "120", dir: "auto" })
				: el("button", { type: "button", class: "quiet title", "data-row": "open", "aria-current": shown && "true", dir: "auto" }, name),
			renaming ? null : action("rename", "pencil", t("Rename")),
			renaming ? null : action("delete", "bin", t("Delete")),
		);
	}

	#click(button) {
		const id = button?.closest("li")?.dataset.id;
		const kind = button?.dataset.row;
		if (kind === "open") void this.library.open(id);
		if (kind === "delete") this.onDelete(this.library.entries.find((each) => each.id === id));
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
		void this.library.rename(id, title.trim());
	}
}
