/** The conversation as articles: question, answer with its phrases, and what can be done with it. */

import { isLive } from "./conversation.js";
import { button, el, reconcile, stylesheet } from "./dom.js";
import { pace, turnCostMicro } from "./figures.js";
import { whereInWords } from "./grounding.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";
import { parse, render } from "./markdown.js";
import { dollars } from "./money.js";
import { count, endingInWords, errorInWords, seconds } from "./words.js";

await stylesheet("answers.css"); // before the first one is drawn

export { marksOf } from "./grounding.js";
export { versionAfter } from "./versions.js";

/** `context`: `{index, pictures, editing, version, busy}`. Its answer is empty: `write` fills it. */
export function article(turn, context) {
	return el(
		"article",
		{ "data-key": turn.key, "data-status": turn.status, "aria-label": t("Question {n}", { n: context.index + 1 }) },
		el(
			"div",
			{ class: "asked" },
			...context.pictures.map((picture, index) => thumbnail(turn, picture, boxed(turn, context) === index)),
			context.editing ? editor(turn) : el("p", { class: "question", dir: "auto" }, turn.question),
			context.editing || context.busy ? null : act("edit", turn, "pencil", t("Edit the question")),
		),
		el("div", { class: "answer", dir: "auto", "data-turn": turn.key, "data-live": isLive(turn), "data-own": true }),
		footer(turn, context),
	);
}

/** Of several pictures, the one that the answer's boxes are on. */
function boxed(turn, { pictures }) {
	return turn.groundings.length && pictures.length > 1 ? pictures.length - 1 : -1;
}

function thumbnail(turn, { key, name, alt, url }, marked) {
	const label = t(marked ? "Show {name}, with the boxes" : "Show {name}", { name });
	return button(
		{ class: "thumb", "data-turn": turn.key, "data-picture": key, "data-boxed": marked, "aria-label": label, title: label },
		el("img", { src: url, alt: alt ?? name, width: 72, height: 72 }),
	);
}

function editor(turn) {
	return el(
		"form",
		{ class: "editor", "data-turn": turn.key },
		el("textarea", { dir: "auto", rows: "3", "aria-label": t("Edit the question") }, turn.question),
		el(
			"div",
			{ class: "row" },
			button({ "data-act": "unedit", "data-turn": turn.key }, t("Cancel")),
			el("button", { class: "primary" }, t("Ask")),
		),
	);
}

function act(name, turn, drawing, label, attributes = {}) {
	const all = { class: "act quiet", "data-act": name, "data-turn": turn.key, "aria-label": label, title: label, ...attributes };
	return button(all, drawing.length > 1 ? icon(drawing) : drawing);
}

// -- the words of an answer --

const OPEN_BLOCKS = 2; // what comes may still join the last block to the one before
const written = new WeakMap(); // element → `{text, marks, starts}`, `starts` of its blocks

/**
 * Bring an answer up to date. As it grows, only its open blocks are parsed and drawn anew, so that a
 * token costs the same however long the answer is; at its end it is drawn once as a whole.
 */
export function write(element, turn, marks) {
	const { text } = turn;
	const before = written.get(element) ?? { text: "", marks: [], starts: [] };
	const live = isLive(turn);
	if (before.text === text && before.marks === marks && before.live === live) return;
	if (live && text === "") return reconcile(element, [thinking()]);
	const settled = Math.max(0, before.starts.length - OPEN_BLOCKS);
	const open = before.starts[settled] ?? 0;
	const grows = live && text.startsWith(before.text) && marks.slice(before.marks.length).every(({ start }) => start >= open);
	const [from, kept] = grows ? [open, settled] : [0, 0];
	const tree = parse(text.slice(from), from);
	const near = marks.filter(({ end }) => end > from);
	reconcile(element, render(tree, { document, marks: near, mark: phrase, frame: copyable }), kept);
	written.set(element, { text, marks, live, starts: [...before.starts.slice(0, kept), ...tree.map(({ start }) => start)] });
}

const thinking = () =>
	el("p", { class: "thinking", role: "img", "aria-label": t("Waiting for the answer") }, el("i"), el("i"), el("i"));

function copyable(pre) {
	const label = t("Copy the code");
	return el("div", { class: "code" }, pre, button({ class: "act quiet", "data-copy": true, "aria-label": label, title: label }, icon("copy")));
}

function phrase(text, { ref, number, hue, boxes }) {
	const where = boxes.map(whereInWords).join(t(" and "));
	const label = t("{text}, box {n}, {where}", { text, n: number, where });
	return el(
		"span",
		{ class: `phrase hue-${hue}`, role: "button", tabindex: "0", "data-ref": ref, "data-number": number, "aria-label": label },
		text,
	);
}

/** The lines below an answer: how it ended, what it used, what to do about it. */
function footer(turn, { version, busy }) {
	const done = !isLive(turn);
	const actions = [
		version.count > 1 ? versions(turn, version, busy) : null,
		done && turn.text ? act("copy", turn, "copy", t("Copy the answer")) : null,
		done && !busy ? act("again", turn, "again", t("Another answer")) : null,
		act("code", turn, "code", t("View code")),
	].filter(Boolean);
	const said = facts(turn);
	return el(
		"footer",
		{},
		turn.status === "failed" ? failure(turn) : null,
		el("div", { class: "row" }, said.length ? el("p", { class: "facts" }, ...said) : null, el("div", { class: "acts" }, ...actions)),
	);
}

function versions(turn, { number, count: total }, busy) {
	const to = (step) => ({ "data-number": ((number - 1 + step + total) % total) + 1, disabled: busy });
	return el(
		"span",
		{ class: "versions" },
		act("version", turn, "‹", t("Version before"), to(-1)),
		`${number}/${total}`,
		act("version", turn, "›", t("Version after"), to(1)),
	);
}

function facts(turn) {
	const parts = [];
	const part = (text, kind) => text && parts.push(el("span", { class: kind ?? false }, text));
	if (turn.dropped) part(t("Connection lost, picking up…"), "warn");
	if (turn.resumedAt !== null) part(t("resumed at token {n}", { n: turn.resumedAt }), "resumed");
	if (turn.status === "incomplete") part(endingInWords(turn.reason));
	if (turn.usage) part(count(turn.usage.output_tokens ?? 0, "token"));
	const timing = isLive(turn) ? null : pace(turn);
	if (timing) part(t("{time} to the first", { time: seconds(timing.firstTokenMs) }), "wide");
	if (timing?.tokensPerSecond) part(t("{n} tokens/s", { n: Math.round(timing.tokensPerSecond) }), "wide");
	const cost = turnCostMicro(turn);
	if (cost !== null) part(dollars(cost, 4));
	return parts;
}

function failure(turn) {
	return el(
		"p",
		{ class: "error" },
		errorInWords(turn.error ?? {}),
		" ",
		button({ class: "link", "data-act": "again", "data-turn": turn.key }, t("Ask again")),
	);
}
