/** Groundings as the page shows them: numbered, one number for one place, offsets for JavaScript. */

import { t } from "./i18n.js";

export const HUES = 8;
const PLACES = [
	["at the top left", "at the top", "at the top right"],
	["on the left", "in the centre", "on the right"],
	["at the bottom left", "at the bottom", "at the bottom right"],
];

/**
 * Code-point offsets → UTF-16 offsets of the same text, for sorted or unsorted queries.
 * The server counts characters as Python does; JavaScript's strings count code units.
 */
export function utf16Offsets(text) {
	const offsets = [0];
	for (const character of text) offsets.push(offsets.at(-1) + character.length);
	return (codePoint) => offsets[Math.min(codePoint, offsets.length - 1)];
}

/**
 * Groundings of an answer → marks: `{ref, number, hue, phrase, start, end, boxes}`.
 * Two phrases with the same boxes mean the same thing, and share a number.
 */
export function marksOf(turnKey, text, groundings) {
	const offset = utf16Offsets(text);
	const numbers = new Map();
	return groundings.map(({ phrase, start, end, boxes }) => {
		const place = JSON.stringify(boxes);
		if (!numbers.has(place)) numbers.set(place, numbers.size + 1);
		const number = numbers.get(place);
		return {
			ref: `${turnKey}-${number}`,
			number,
			hue: (number - 1) % HUES,
			phrase,
			start: offset(start),
			end: offset(end),
			boxes,
		};
	});
}

/** One mark for each number: what is drawn on the picture. */
export function places(marks) {
	return marks.filter((mark, index) => marks.findIndex(({ ref }) => ref === mark.ref) === index);
}

/** Where a box lies, in words, for those who can't see it. */
export function whereInWords([x0, y0, x1, y1]) {
	return t(PLACES[third((y0 + y1) / 2)][third((x0 + x1) / 2)]);
}

function third(position) {
	return Math.min(2, Math.max(0, Math.floor(position * 3)));
}
