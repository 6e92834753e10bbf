/** The receipt of a closed session: `lines` is pure, `renderReceipt` puts them on paper. */

import { button, el } from "./dom.js";
import { language, t } from "./i18n.js";
import { dollars, microFromUsd } from "./money.js";
import { whole } from "./words.js";

const METERS = {
	tokens: "Tokens",
	images: "Pictures",
	detections: "Boxes",
	fallback_tokens: "Tokens, cheaper model",
	fallback_images: "Pictures, cheaper model",
	fallback_detections: "Boxes, cheaper model",
};

/** Receipt → rows of text. Amounts stay the server's: nothing is computed anew. */
export function receiptLines(receipt) {
	return receipt.lines.map((line) => ({
		name: t(METERS[line.meter] ?? METERS[line.meter.replace(/^.*[._:]/, "")] ?? line.meter),
		used: whole(line.units),
		billed: whole(line.billable_units),
		raised: line.billable_units !== line.units,
		each: dollars(microFromUsd(line.unit_price_usd)),
		amount: dollars(microFromUsd(line.amount_usd)),
	}));
}

/** 95 → "1 min 35 s". */
export function duration(totalSeconds) {
	const whole = Math.max(0, Math.round(totalSeconds));
	const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
	if (hours) return `${hours} h ${minutes} min`;
	return minutes ? `${minutes} min ${rest} s` : `${rest} s`;
}

/** Unix seconds or an ISO date → a Date. */
export function moment(value) {
	return new Date(typeof value === "number" ? value * 1000 : value);
}

export function renderReceipt(session, questions) {
	const { receipt } = session;
	const prices = receipt.price_version ? [el("br"), t("Prices of {date}", { date: receipt.price_version })] : [];
	const [opened, closed] = [moment(session.opened_at), moment(session.closed_at)];
	const rows = receiptLines(receipt);
	return [
		el(
			"p",
			{ class: "when" },
			`${closed.toLocaleString(language, { dateStyle: "medium", timeStyle: "short" })} · ${duration((closed - opened) / 1000)} · ${questions}`,
		),
		el(
			"table",
			{},
			el("thead", {}, el("tr", {}, ...["Item", "Units", "Amount"].map((name) => el("th", { scope: "col" }, t(name))))),
			el("tbody", {}, ...rows.map(row)),
			el(
				"tfoot",
				{},
				el(
					"tr",
					{},
					el("th", { scope: "row", colspan: "2" }, t("Total")),
					el("td", { "data-total": receipt.total_usd }, dollars(microFromUsd(receipt.total_usd))),
				),
			),
		),
		rows.some(({ raised }) => raised)
			? el("p", { class: "fine" }, t("Each question without a picture has a minimum of tokens."))
			: null,
		el("p", { class: "fine" }, button({ class: "link", "data-action": "session", "data-session": session.id }, `${t("Session")} ${session.id}`), ...prices),
	].filter(Boolean);
}

function row({ name, used, billed, raised, each, amount }) {
	return el(
		"tr",
		{},
		el("th", { scope: "row" }, name, el("small", {}, t("{price} each", { price: each }))),
		el("td", {}, billed, raised ? el("small", {}, t("{n} used", { n: used })) : null),
		el("td", {}, amount),
	);
}
