/** What a conversation and its session come to: tokens, cost, speed. Pure. */

import { liveTurn } from "./conversation.js";
import { microFromUsd, sumMicro } from "./money.js";

/** The open session's counts and cost so far, the answer under way included. */
export function sessionTotals(state) {
	const usages = sessionTurns(state)
		.filter((turn) => turn.usage)
		.map((turn) => turn.usage);
	const sum = (name) => usages.reduce((total, usage) => total + (usage[name] ?? 0), 0);
	return {
		inputTokens: sum("input_tokens"),
		outputTokens: sum("output_tokens"),
		images: sum("images"),
		detections: sum("detections"),
		costMicro: sumMicro(usages.map((usage) => usage.cost_usd ?? "0")),
	};
}

/** What is left of the month's budget, the answer under way included; null without a budget. */
export function leftMicro(state) {
	const left = state.budget?.left_usd ?? null;
	if (left === null) return null;
	const micro = left.startsWith("-") ? -microFromUsd(left.slice(1)) : microFromUsd(left);
	const live = liveTurn(state);
	return micro - ((live && turnCostMicro(live)) ?? 0n);
}

/** What was asked in the session at hand, also what has left the page. */
export function sessionTurns(state) {
	const id = state.session?.id;
	return id ? [...state.gone, ...state.turns].filter(({ sessionId }) => sessionId === id) : [];
}

const SHORTEST_MEASURED_S = 0.1;

/**
 * How fast a turn's answer came: milliseconds to the first token, and tokens a second after it.
 * An answer that arrived in one go, or was resumed, says nothing about the latter.
 */
export function pace(turn) {
	if (turn.firstAt === null || turn.theirs) return null;
	const seconds = ((turn.endedAt ?? turn.lastAt) - turn.firstAt) / 1000;
	const more = (turn.usage?.output_tokens ?? 0) - 1;
	return {
		firstTokenMs: turn.firstAt - turn.askedAt,
		tokensPerSecond:
			seconds >= SHORTEST_MEASURED_S && more > 0 && !turn.resumedAt ? more / seconds : null,
	};
}

/** The cost of one turn in micro-dollars, or null while it is unknown. */
export function turnCostMicro(turn) {
	return turn.usage?.cost_usd === undefined ? null : microFromUsd(turn.usage.cost_usd);
}
