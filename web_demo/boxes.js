/** The picture on its easel: an SVG over the image, one box or more for each phrase. */

import { el } from "./dom.js";
import { places, whereInWords } from "./grounding.js";
import { t } from "./i18n.js";

export class Easel {
	#frame;
	#image;
	#svg;
	#tags;
	#drawn = new Map(); // ref → {signature, nodes}

	constructor(frame) {
		this.#frame = frame;
		this.#image = frame.querySelector("img");
		this.#svg = frame.querySelector("svg");
		this.#tags = frame.querySelector(".tags");
	}

	/** Show a picture (or none). The frame takes its shape, so that image and boxes coincide. */
	show(picture) {
		this.#frame.hidden = !picture;
		if (!picture || this.#image.getAttribute("src") === picture.url) return;
		this.clear();
		this.#image.src = picture.url;
		this.#image.alt = picture.alt ?? picture.name;
		this.#frame.style.setProperty("--ratio", String(picture.width / picture.height));
	}

	/** Draw the marks of an answer. Boxes that are there already stay as they are. */
	draw(marks) {
		const wanted = places(marks);
		const refs = new Set(wanted.map(({ ref }) => ref));
		for (const ref of [...this.#drawn.keys()]) if (!refs.has(ref)) this.#erase(ref);
		for (const place of wanted) if (!this.#drawn.has(place.ref)) this.#add(place);
		this.#svg.setAttribute("aria-label", describe(wanted));
	}

	clear() {
		for (const ref of [...this.#drawn.keys()]) this.#erase(ref);
	}

	/** Light up the boxes of one phrase and dim the others; null lights none. */
	light(ref) {
		this.#frame.toggleAttribute("data-lit", this.#drawn.has(ref));
		for (const [each, nodes] of this.#drawn) {
			for (const node of nodes) node.classList.toggle("lit", each === ref);
		}
	}

	#add({ ref, number, hue, phrase, boxes }) {
		const nodes = boxes.flatMap((box) => {
			const shape = boxShape(box, ref, hue);
			const tag = boxTag(box, { ref, number, hue, phrase });
			this.#insertBySize(shape, box);
			this.#tags.append(tag);
			return [shape, tag];
		});
		this.#drawn.set(ref, nodes);
	}

	/** Small boxes lie above large ones, so that the pointer reaches both. */
	#insertBySize(shape, box) {
		shape.dataset.area = String(area(box));
		const smaller = [...this.#svg.children].find((each) => Number(each.dataset.area) < area(box));
		this.#svg.insertBefore(shape, smaller ?? null);
	}

	#erase(ref) {
		for (const node of this.#drawn.get(ref)) node.remove();
		this.#drawn.delete(ref);
	}
}

function boxShape([x0, y0, x1, y1], ref, hue) {
	const place = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
	const parts = ["halo", "line"].map((part) => el("rect", { class: part, ...place }));
	return el("g", { class: `box hue-${hue}`, "data-ref": ref }, ...parts);
}

/** The number at a box's corner; it unfolds to the phrase when it lights up. */
function boxTag([x0, y0, x1], { ref, number, hue, phrase }) {
	const tag = el(
		"span",
		{ class: `tag hue-${hue}`, "data-ref": ref },
		el("b", {}, String(number)),
		el("span", {}, phrase),
	);
	const fromRight = x0 > 0.6;
	tag.classList.toggle("from-right", fromRight);
	tag.style.setProperty(fromRight ? "right" : "left", percent(fromRight ? 1 - x1 : x0));
	tag.style.setProperty("top", percent(y0));
	return tag;
}

function describe(places) {
	if (places.length === 0) return t("No boxes");
	const each = places.map(({ number, phrase, boxes }) => `${number}, ${phrase}, ${boxes.map(whereInWords).join(t(" and "))}`);
	return `${t("Boxes on the picture:")} ${each.join("; ")}`;
}

function area([x0, y0, x1, y1]) {
	return (x1 - x0) * (y1 - y0);
}

function percent(fraction) {
	return `${(fraction * 100).toFixed(3)}%`;
}
