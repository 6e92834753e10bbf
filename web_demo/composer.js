/** Where the next question is made: its words, and the pictures that go with it. */

import { button, byId, el, reconcile } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";

const MOST_PICTURES = 8;

export class Composer {
	drafts = []; // keys of pictures
	#attaching = Promise.resolve();
	#field = byId("question");

	/** `page`: `changed()`, `say(notice)`, `submit(question, pictures)`, `busy()`. */
	constructor({ pictures, page }) {
		Object.assign(this, { pictures, page });
		this.#field.oninput = () => this.#typed();
		this.#field.onkeydown = (event) => this.#key(event);
		byId("attached").onclick = ({ target }) => {
			const key = target.closest("[data-remove]")?.dataset.remove;
			if (key) this.remove(key);
		};
		byId("file").onchange = ({ target }) => {
			void this.attach([...target.files]);
			target.value = "";
		};
		this.#takeDropsAndPastes();
	}

	get words() {
		return this.#field.value.trim();
	}

	/** Ask, with the pictures that are still being read. */
	async submit() {
		await this.#attaching;
		const question = this.words;
		if (question === "" || this.page.busy()) return;
		const pictures = this.drafts;
		this.clear();
		this.page.submit(question, pictures);
	}

	clear() {
		this.#field.value = "";
		this.drafts = [];
		this.#typed();
	}

	attach(files, about) {
		return this.#inTurn(() => this.#attach(files, about));
	}

	#inTurn(work) {
		this.#attaching = this.#attaching.then(work, work);
		return this.#attaching;
	}

	async #attach(files, { name, alt } = {}) {
		const { PictureError, readPicture } = await import("./picture.js");
		for (const file of files) {
			if (this.drafts.length >= MOST_PICTURES) return this.page.say(t("At most {n} pictures go with a question.", { n: MOST_PICTURES }));
			try {
				const picture = { ...(await readPicture(file, name)), alt };
				this.pictures.set(picture.key, picture);
				this.drafts = [...this.drafts, picture.key];
				this.page.say(null);
			} catch (error) {
				if (!(error instanceof PictureError)) throw error;
				this.page.say(error.message);
			}
		}
		if (matchMedia("(hover: hover)").matches) this.#field.focus();
	}

	/** A sample is looked at alone: it takes the place of the others. */
	attachSample(file, alt) {
		return this.#inTurn(async () => {
			const response = await fetch(file).catch(() => null);
			if (!response?.ok) return this.page.say(t("This sample can't be loaded."));
			this.drafts = [];
			await this.#attach([await response.blob()], { name: file.split("/").at(-1), alt });
		});
	}

	remove(key) {
		this.drafts = this.drafts.filter((each) => each !== key);
		this.page.changed();
		this.#field.focus();
	}

	render({ ready, live, closing, pictured }) {
		byId("composer").hidden = byId("keys").hidden = !ready;
		const drafts = this.drafts.map((key) => this.pictures.get(key));
		byId("attached").hidden = drafts.length === 0;
		reconcile(byId("attached"), drafts.map(preview));
		const placeholder = t(drafts.length || pictured ? "Ask about the picture…" : "Ask something…");
		if (this.#field.placeholder !== placeholder) this.#field.placeholder = placeholder;
		const send = byId("send");
		send.dataset.mode = live ? "stop" : "send";
		send.setAttribute("aria-label", t(live ? "Stop" : "Send"));
		send.disabled = live ? live.stopping : this.words === "" || closing;
	}

	#typed() {
		// The field grows with its text (style.css sets the limit).
		this.#field.style.height = "auto";
		this.#field.style.height = `${this.#field.scrollHeight}px`;
		this.page.changed();
	}

	#key(event) {
		if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
		event.preventDefault();
		this.submit();
	}

	#takeDropsAndPastes() {
		document.addEventListener("paste", (event) => {
			const files = picturesIn(event.clipboardData);
			if (files.length === 0) return;
			event.preventDefault();
			void this.attach(files, { name: t("pasted picture") });
		});
		document.addEventListener("dragover", (event) => {
			event.preventDefault();
			document.body.toggleAttribute("data-dragging", event.dataTransfer.types.includes("Files"));
		});
		document.addEventListener("dragleave", ({ relatedTarget }) => {
			if (!relatedTarget) document.body.removeAttribute("data-dragging");
		});
		document.addEventListener("drop", (event) => {
			event.preventDefault();
			document.body.removeAttribute("data-dragging");
			const files = picturesIn(event.dataTransfer);
			if (files.length) void this.attach(files);
			else if (event.dataTransfer.files.length) this.page.say(t("Only pictures can be dropped here."));
		});
	}
}

function preview({ key, name, alt, url, width, height }) {
	const label = t("Remove {name}", { name });
	return el(
		"li",
		{ "data-key": key, title: `${name} · ${width} × ${height}` },
		el("img", { src: url, alt: alt ?? name, width: 48, height: 48 }),
		button({ "data-remove": key, "aria-label": label }, icon("close")),
	);
}

/** The pictures among what was dropped, pasted or picked. */
function picturesIn(transfer) {
	return [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));
}
