/** Groundings as the page shows them: numbered, one number for one place, offsets for JavaScript. */

import { t } from "./i18n.js";

const HUES = 8;
const PLACES = [
	["at the top left", "at the top", "at the top right"],
	["on the left", "in the centre", "on the right"],
	["at the bottom left", "at the bottom", "at the bottom right"],
];

/**
 * Groundings of an answer → marks: `{ref, number, hue, phrase, start, end, boxes}`.
 * Two phrases with the same boxes mean the same thing, and share a number. The server counts
 * characters (code points), JavaScript's strings count UTF-16 units.
 */
export function marksOf(turnKey, text, groundings) {
	const offsets = [0];
	if (groundings.length) for (const character of text) offsets.push(offsets.at(-1) + character.length);
	const offset = (codePoint) => offsets[Math.min(codePoint, offsets.length - 1)];
	const numbers = new Map();
	return groundings.map(({ phrase, start, end, boxes }) => {
		const place = JSON.stringify(boxes);
		if (!numbers.has(place)) numbers.set(place, numbers.size + 1);
		const number = numbers.get(place);
		const [ref, hue] = [`${turnKey}-${number}`, (number - 1) % HUES];
		return { ref, number, hue, phrase, start: offset(start), end: offset(end), boxes };
	});
}

/** One mark for each number: what is drawn on the picture. */
export function places(marks) {
	const first = new Map();
	for (const mark of marks) if (!first.has(mark.ref)) first.set(mark.ref, mark);
	return [...first.values()];
}

/** Where a box lies, in words, for those who can't see it. */
export function whereInWords([x0, y0, x1, y1]) {
	const third = (position) => Math.min(2, Math.max(0, Math.floor(position * 3)));
	return t(PLACES[third((y0 + y1) / 2)][third((x0 + x1) / 2)]);
}
