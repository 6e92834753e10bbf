/** The conversation as articles: question, answer with its phrases, and what can be done with it. */

import { isLive, pace, turnCostMicro } from "./conversation.js";
import { el } from "./dom.js";
import { marksOf, whereInWords } from "./grounding.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";
import { parse, render } from "./markdown.js";
import { dollars } from "./money.js";
import { count, endingInWords, errorInWords, seconds } from "./words.js";

export { marksOf };

/** `context`: `{index, pictures, marks, editing, version, busy}`. */
export function article(turn, context) {
	return el(
		"article",
		{ "data-key": turn.key, "data-status": turn.status, "aria-label": t("Question {n}", { n: context.index + 1 }) },
		el(
			"div",
			{ class: "asked" },
			...context.pictures.map((picture) => thumbnail(turn, picture)),
			context.editing ? editor(turn) : el("p", { class: "question", dir: "auto" }, turn.question),
			context.editing || context.busy ? null : act("edit", turn, "pencil", t("Edit the question")),
		),
		answer(turn, context.marks),
		footer(turn, context),
	);
}

function thumbnail(turn, { key, name, alt, url }) {
	return el(
		"button",
		{ type: "button", class: "thumb", "data-turn": turn.key, "data-picture": key, "aria-label": t("Show {name}", { name }) },
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
			el("button", { type: "button", "data-act": "unedit", "data-turn": turn.key }, t("Cancel")),
			el("button", { type: "submit", class: "primary" }, t("Ask")),
		),
	);
}

function act(name, turn, drawing, label, attributes = {}) {
	const button = { type: "button", class: "act quiet", "data-act": name, "data-turn": turn.key, "aria-label": label, title: label, ...attributes };
	return el("button", button, drawing.length > 1 ? icon(drawing) : drawing);
}

function answer(turn, marks) {
	const waiting = turn.status === "waiting" && turn.text === "";
	return el(
		"div",
		{ class: "answer", dir: "auto", "data-turn": turn.key, "data-live": isLive(turn) },
		...(waiting
			? [el("p", { class: "thinking", role: "img", "aria-label": t("Waiting for the answer") }, el("i"), el("i"), el("i"))]
			: render(parse(turn.text), { document, marks, mark: phrase, frame: copyable })),
	);
}

function copyable(pre) {
	const label = t("Copy the code");
	const button = el("button", { type: "button", class: "act quiet", "data-copy": true, "aria-label": label, title: label }, icon("copy"));
	return el("div", { class: "code" }, pre, button);
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
		el("button", { type: "button", class: "link", "data-act": "retry", "data-turn": turn.key }, t("Ask again")),
	);
}
