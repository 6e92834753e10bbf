/** The live figures of the session: what it used, what it costs, how fast the words come. */

import { leftMicro, pace, sessionTotals, sessionTurns } from "./figures.js";
import { t } from "./i18n.js";
import { dollars } from "./money.js";
import { seconds, whole } from "./words.js";

const WIDTH = 120;
const HEIGHT = 24;
const POINTS = 60;
const SMALLEST_SCALE_MS = 20;

export class Meter {
	#root;
	#gaps = null;

	constructor(root) {
		this.#root = root;
	}

	render(state) {
		this.#root.hidden = state.session === null;
		const totals = sessionTotals(state);
		const newest = sessionTurns(state).findLast(({ firstAt }) => firstAt !== null) ?? null;
		const speed = newest && pace(newest);
		const left = leftMicro(state);
		this.#figure("input", whole(totals.inputTokens));
		this.#figure("output", whole(totals.outputTokens));
		this.#figure("images", whole(totals.images));
		this.#figure("detections", whole(totals.detections));
		this.#figure("cost", dollars(totals.costMicro, 4));
		this.#figure("left", left === null ? "" : dollars(left < 0n ? 0n : left));
		this.#figure("first", speed ? seconds(speed.firstTokenMs) : "–");
		this.#figure("rate", speed?.tokensPerSecond ? whole(Math.round(speed.tokensPerSecond)) : "–");
		this.#sparkline(newest?.gaps ?? []);
	}

	#figure(name, text) {
		const cell = this.#root.querySelector(`[data-meter="${name}"]`);
		if (cell.textContent !== text) cell.textContent = text;
		if (name === "left") cell.parentElement.hidden = text === "";
	}

	#sparkline(gaps) {
		if (gaps === this.#gaps) return;
		this.#gaps = gaps;
		const svg = this.#root.querySelector("svg");
		svg.querySelector("path").setAttribute("d", sparkline(gaps));
		const longest = Math.round(Math.max(0, ...gaps));
		svg.setAttribute("aria-label", t("Pauses between tokens; the longest was {n} ms", { n: longest }));
	}
}

/** Gaps in milliseconds → the path of their line, newest at the end. Pure. */
export function sparkline(gaps) {
	const scale = Math.max(SMALLEST_SCALE_MS, ...gaps);
	return gaps
		.map((gap, index) => {
			const x = ((POINTS - gaps.length + index) / (POINTS - 1)) * WIDTH;
			const y = HEIGHT - 2 - (gap / scale) * (HEIGHT - 4);
			return `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
		})
		.join("");
}
