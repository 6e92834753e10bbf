/** The picture that is looked at: the next question's, or that of an answer, with its boxes. */

import { picturesBefore, shownTurns } from "./conversation.js";
import { button, byId, el, setText } from "./dom.js";
import { t } from "./i18n.js";

export class Stage {
	boxes = true;
	chosen = null; // {turn, picture}: what was picked out by hand
	#easel = null;

	constructor({ pictures, marks, page }) {
		Object.assign(this, { pictures, marks, page });
	}

	async loadSamples() {
		const response = await fetch("samples.json").catch(() => null);
		const samples = response?.ok ? await response.json() : [];
		byId("samples").hidden = samples.length === 0;
		byId("samples").querySelector(".strip").replaceChildren(...samples.map(sample));
	}

	light(ref) {
		this.#easel?.light(ref);
	}

	render(state, drafts) {
		const draft = drafts.at(-1);
		const turn = draft ? null : this.#turn(state);
		const newest = turn && (picturesBefore(state, turn).at(-1) ?? null);
		const wanted = draft ?? (this.chosen?.turn === turn?.key ? this.chosen?.picture : null) ?? newest;
		const picture = (wanted && this.pictures.get(wanted)) ?? null;
		byId("stage").toggleAttribute("data-empty", !picture);
		byId("invitation").hidden = Boolean(picture);
		const all = picture && turn ? this.marks(turn) : [];
		const marks = wanted === newest ? all : [];
		if (picture && !this.#easel) void this.#loadEasel();
		this.#easel?.show(picture);
		this.#easel?.draw(this.boxes ? marks : []);
		byId("toggle-boxes").hidden = marks.length === 0;
		byId("toggle-boxes").setAttribute("aria-pressed", String(this.boxes));
		setText(byId("caption"), picture ? `${picture.name} · ${picture.width} × ${picture.height}` : "");
		const several = all.length > 0 && picturesBefore(state, turn).length > 1;
		setText(byId("which"), several ? t("Boxes are drawn on the last picture: the model does not say which one they are on.") : "");
	}

	/** What draws pictures is loaded with the first one. */
	async #loadEasel() {
		const { Easel } = await import("./boxes.js");
		this.#easel ??= new Easel(byId("frame"));
		this.page.changed();
	}

	/** The turn whose boxes the picture shows: the chosen one, else the newest with boxes. */
	#turn(state) {
		const turns = shownTurns(state);
		const chosen = turns.find(({ key }) => key === this.chosen?.turn);
		if (chosen) return chosen;
		const last = turns.at(-1);
		if (!last) return null;
		const newest = (turn) => picturesBefore(state, turn).at(-1);
		const same = (turn) => newest(turn) === newest(last);
		return turns.findLast((turn) => turn.groundings.length > 0 && same(turn)) ?? last;
	}
}

function sample({ file, alt }) {
	const image = el("img", { src: file, alt: "", draggable: "false" });
	const attributes = { "data-sample": file, "data-alt": alt, "aria-label": t("Sample: {alt}", { alt: t(alt) }), title: t(alt) };
	const made = button(attributes, image);
	image.addEventListener("error", () => made.remove());
	return made;
}
