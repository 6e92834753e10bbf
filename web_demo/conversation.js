/**
 * The conversations as a pure reducer: what the page knows, after each event.
 *
 * Events are the server's own, taken as they come, and the page's (`page:…`). Knows no DOM, no
 * socket and no clock (`at` is handed in, in milliseconds).
 */

import { ENDINGS } from "./api.js";

/**
 * `turns` of all conversations that were opened; `shown` is the one on the page, null a new one.
 * `gone` are turns that left the page, but not the bill.
 */
export const EMPTY = Object.freeze({
	turns: Object.freeze([]),
	gone: Object.freeze([]),
	session: null,
	budget: null, // `{limit_usd, left_usd, hard}` of the month, as the server said last
	shown: null,
});

const LIVE = new Set(["waiting", "streaming"]);
const KEPT_GAPS = 60;

const NEW_TURN = Object.freeze({
	conversation: null,
	pictures: Object.freeze([]),
	status: "waiting",
	theirs: false, // asked in another tab or on another device, and followed from here
	idempotencyKey: null, // by which the server knows the question again
	fork: null, // `{after, branches}`: asked as another version of what followed the response `after`
	sessionId: null,
	responseId: null,
	text: "",
	groundings: Object.freeze([]),
	usage: null,
	lastSequence: -1,
	dropped: false,
	resumedAt: null,
	stopping: false,
	reason: null,
	error: null,
	askedAt: null,
	firstAt: null,
	lastAt: null,
	endedAt: null,
	gaps: Object.freeze([]), // milliseconds between the last tokens
});

export function reduce(state, event, at = 0) {
	switch (event.type) {
		case "page:asked":
			return { ...state, turns: [...state.turns, newTurn(state, event.turn, at)] };
		case "page:shown":
			return { ...state, shown: event.conversation };
		case "page:created":
			return created(state, event.conversation);
		case "page:loaded":
			return loaded(state, event);
		case "page:removed":
			return removed(state, (turn) => event.keys.includes(turn.key));
		case "page:budget":
		case "kosmosx:budget.warning":
			return { ...state, budget: event.budget };
		case "page:session_lost":
		case "page:session_over":
			return { ...state, session: null };
	}
	if (event.type.startsWith("kosmosx:session.")) return sessionChanged(state, event);
	const turn = event.turn ? state.turns.find(({ key }) => key === event.turn) : liveTurn(state);
	if (!turn || !isLive(turn) || alreadySeen(turn, event)) return state;
	const next = { ...change(turn, event, at) };
	if (isNumbered(event)) next.lastSequence = event.sequence_number;
	const turns = state.turns.map((each) => (each === turn ? next : each));
	const sessionGone = (next.error?.code ?? "").startsWith("session_");
	const budget = event.response?.["kosmosx:budget"] ?? state.budget;
	return { ...state, turns, budget, session: sessionGone ? null : state.session };
}

function newTurn(state, turn, at) {
	const open = state.session?.status === "open" && !turn.theirs;
	const sessionId = open ? state.session.id : null;
	return { ...NEW_TURN, conversation: state.shown, sessionId, askedAt: at, ...turn };
}

/** The server has a conversation now for what was asked in a new one. */
function created(state, conversation) {
	const turns = state.turns.map((turn) =>
		turn.conversation === null ? { ...turn, conversation } : turn,
	);
	return { ...state, turns, shown: state.shown ?? conversation };
}

/** The server's turns of a conversation replace the page's; what both know keeps its timings. */
function loaded(state, { conversation, turns }) {
	const known = new Map(state.turns.map((turn) => [turn.responseId, turn]));
	const theirs = turns.map((turn) => {
		const mine = turn.responseId && known.get(turn.responseId);
		if (mine && !mine.theirs && !isLive(mine)) return mine;
		return { ...NEW_TURN, ...turn, conversation, usage: mine?.usage ?? null };
	});
	const ids = new Set(turns.map(({ responseId }) => responseId));
	const stays = (turn) =>
		turn.conversation !== conversation ||
		(!ids.has(turn.responseId) && (isLive(turn) || turn.status === "failed"));
	const before = state.turns.filter((turn) => turn.conversation !== conversation);
	const unsaved = state.turns.filter((turn) => !before.includes(turn) && stays(turn));
	const left = state.turns.filter((turn) => !stays(turn) && !theirs.includes(turn));
	return { ...state, turns: [...before, ...theirs, ...unsaved], gone: [...state.gone, ...left] };
}

function removed(state, leaves) {
	return {
		...state,
		turns: state.turns.filter((turn) => !leaves(turn)),
		gone: [...state.gone, ...state.turns.filter(leaves)],
	};
}

/** The server says which session a question opened, even where the page believed in an older one. */
function sessionChanged(state, { type, session }) {
	const kept = state.session?.id === session.id ? state.session : {};
	const own = liveTurn(state);
	const turns = state.turns.map((turn) =>
		type === "kosmosx:session.opened" && turn === own ? { ...turn, sessionId: session.id } : turn,
	);
	return { ...state, turns, session: { ...kept, ...session } };
}

/** A response's own events are numbered through, on whatever connection they arrive. */
function isNumbered(event) {
	return event.type.startsWith("response.") && Number.isInteger(event.sequence_number);
}

function alreadySeen(turn, event) {
	return isNumbered(event) && event.sequence_number <= turn.lastSequence;
}

function change(turn, event, at) {
	switch (event.type) {
		case "response.created":
			return { ...turn, responseId: event.response.id, dropped: false };
		case "response.output_text.delta":
			return {
				...turn,
				status: "streaming",
				dropped: false,
				text: turn.text + event.delta,
				groundings: event["kosmosx:grounding"]?.length ? [...turn.groundings, ...event["kosmosx:grounding"]] : turn.groundings,
				usage: event["kosmosx:usage"] ?? turn.usage,
				firstAt: turn.firstAt ?? at,
				lastAt: at,
				gaps: turn.lastAt === null ? [] : [...turn.gaps.slice(1 - KEPT_GAPS), at - turn.lastAt],
			};
		case "response.output_text.done":
			return { ...turn, text: event.text ?? turn.text };
		case "response.content_part.done":
			return { ...turn, groundings: event.part?.["kosmosx:grounding"] ?? turn.groundings };
		case "kosmosx:usage":
			return { ...turn, usage: event["kosmosx:usage"] ?? event.usage ?? turn.usage };
		case "error":
			return { ...turn, status: "failed", endedAt: at, error: { status: event.status, ...event.error } };
		case "page:stopping":
			return { ...turn, stopping: true };
		case "page:dropped":
			return { ...turn, dropped: true };
		case "page:resumed":
			return { ...turn, dropped: false, resumedAt: turn.usage?.output_tokens ?? 0 };
		case "page:lost":
			return { ...turn, status: "failed", dropped: false, endedAt: at, error: event.error };
		default:
			return event.type in ENDINGS ? ended(turn, event.type, event.response, at) : turn;
	}
}

function ended(turn, type, response, at) {
	const reason = response["kosmosx:reason"] ?? response.incomplete_details?.reason ?? null;
	return {
		...turn,
		status: ENDINGS[type],
		dropped: false,
		usage: response["kosmosx:usage"] ?? turn.usage,
		reason: turn.stopping && type !== "response.completed" ? "cancelled" : reason,
		error: type === "response.failed" ? (response.error ?? {}) : null,
		endedAt: at,
	};
}

export function isLive(turn) {
	return LIVE.has(turn.status);
}

/** This page's own turn that is being answered, or null. There is never more than one. */
export function liveTurn(state) {
	return state.turns.findLast((turn) => isLive(turn) && !turn.theirs) ?? null;
}

/** The turns of the conversation on the page. */
export function shownTurns(state) {
	return state.turns.filter(({ conversation }) => conversation === state.shown);
}

/** The turn before this one in its conversation that the server knows, or null. */
export function parentOf(state, turn) {
	const line = state.turns.filter(({ conversation }) => conversation === turn.conversation);
	const before = line.slice(0, line.indexOf(turn));
	return before.findLast((each) => each.responseId && each.status !== "failed") ?? null;
}

/** Where a new connection goes on: the query parameters of the WebSocket's address. */
export function cursor(state) {
	const turn = liveTurn(state);
	const session = state.session?.status === "open" ? { session_id: state.session.id } : {};
	if (!turn?.responseId) return session;
	return { ...session, response_id: turn.responseId, starting_after: turn.lastSequence };
}

/** The pictures that the model had before it when it answered this turn, the newest last. */
export function picturesBefore(state, turn) {
	const line = state.turns.filter(({ conversation }) => conversation === turn.conversation);
	return line.slice(0, line.indexOf(turn) + 1).flatMap(({ pictures }) => pictures);
}
