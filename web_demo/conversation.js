/**
 * The conversation as a pure reducer: what the page knows, after each event.
 *
 * Events are the server's own, taken as they come, and the page's (`page:…`). Knows no DOM, no
 * socket and no clock (`at` is handed in, in milliseconds).
 */

import { microFromUsd, sumMicro } from "./money.js";

/** `thread` is the id of the last completed response: where a follow-up question goes on from. */
export const EMPTY = Object.freeze({ turns: Object.freeze([]), session: null, thread: null });

const LIVE = new Set(["waiting", "streaming"]);
const ENDINGS = {
  "response.completed": "completed",
  "response.incomplete": "incomplete",
  "response.failed": "failed",
  "response.cancelled": "incomplete",
};

export function reduce(state, event, at = 0) {
  if (event.type === "page:asked") return asked(state, event, at);
  if (event.type === "page:withdrawn") return withdrawn(state, event.key);
  if (event.type.startsWith("kosmosx:session.")) return sessionChanged(state, event);

  if (event.type === "page:session_lost") return { ...state, session: null };

  const turn = liveTurn(state);
  if (!turn || alreadySeen(turn, event)) return state;
  const next = { ...change(turn, event, at) };
  if (isNumbered(event)) next.lastSequence = event.sequence_number;
  return threaded({ ...state, turns: [...state.turns.slice(0, -1), next] }, next);
}

function asked(state, { key, question, picture }, at) {
  const turn = {
    key,
    question,
    picture: picture ?? null,
    status: "waiting",
    sessionId: state.session?.status === "open" ? state.session.id : null,
    responseId: null,
    text: "",
    groundings: [],
    usage: null,
    lastSequence: -1,
    dropped: false,
    resumedAt: null,
    stopping: false,
    reason: null,
    error: null,
    askedAt: at,
    firstAt: null,
    endedAt: null,
  };
  return { ...state, turns: [...state.turns, turn] };
}

/** A failed question is asked again: its first attempt leaves the page, not the bill. */
function withdrawn(state, key) {
  return { ...state, turns: state.turns.filter((turn) => turn.key !== key || isLive(turn)) };
}

/** The server says which session a question opened, even where the page believed in an older one. */
function sessionChanged(state, { type, session }) {
  const kept = state.session?.id === session.id ? state.session : {};
  const turns = state.turns.map((turn) =>
    type === "kosmosx:session.opened" && isLive(turn) ? { ...turn, sessionId: session.id } : turn,
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
        groundings: [...turn.groundings, ...(event["kosmosx:grounding"] ?? [])],
        usage: event["kosmosx:usage"] ?? turn.usage,
        firstAt: turn.firstAt ?? at,
      };
    case "response.output_text.done":
      return { ...turn, text: event.text ?? turn.text };
    case "response.content_part.done":
      return { ...turn, groundings: event.part?.["kosmosx:grounding"] ?? turn.groundings };
    case "kosmosx:usage":
      return { ...turn, usage: event["kosmosx:usage"] ?? event.usage ?? turn.usage };
    case "response.completed":
    case "response.incomplete":
    case "response.failed":
    case "response.cancelled":
      return ended(turn, event.type, event.response, at);
    case "error":
      return { ...turn, status: "failed", endedAt: at, error: refusal(event) };
    case "page:stopping":
      return { ...turn, stopping: true };
    case "page:dropped":
      return { ...turn, dropped: true };
    case "page:resumed":
      return { ...turn, dropped: false, resumedAt: turn.usage?.output_tokens ?? 0 };
    case "page:lost":
      return { ...turn, status: "failed", dropped: false, endedAt: at, error: event.error };
    default:
      return turn;
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

function refusal({ status, error }) {
  return { status, ...error };
}

/** What a finished turn does to the thread. An id that the server has lost is let go. */
function threaded(state, turn) {
  if (turn.status === "completed") return { ...state, thread: turn.responseId };
  const { code = "" } = turn.error ?? {};
  if (code === "previous_response_not_found") return { ...state, thread: null };
  if (code.startsWith("session_")) return { ...state, session: null };
  return state;
}

export function isLive(turn) {
  return LIVE.has(turn.status);
}

/** The turn that is being answered, or null. There is never more than one. */
export function liveTurn(state) {
  const last = state.turns.at(-1);
  return last && isLive(last) ? last : null;
}

/** Where a new connection goes on: the query parameters of the WebSocket's address. */
export function cursor(state) {
  const turn = liveTurn(state);
  const session = state.session?.status === "open" ? { session_id: state.session.id } : {};
  if (!turn?.responseId) return session;
  return { ...session, response_id: turn.responseId, starting_after: turn.lastSequence };
}

/** The open session's counts and cost so far, the answer under way included. */
export function sessionTotals(state) {
  const id = state.session?.id ?? null;
  const usages = state.turns
    .filter((turn) => turn.usage && turn.sessionId === id)
    .map((turn) => turn.usage);
  const sum = (name) => usages.reduce((total, usage) => total + (usage[name] ?? 0), 0);
  return {
    tokens: sum("input_tokens") + sum("output_tokens"),
    inputTokens: sum("input_tokens"),
    outputTokens: sum("output_tokens"),
    images: sum("images"),
    detections: sum("detections"),
    costMicro: sumMicro(usages.map((usage) => usage.cost_usd ?? "0")),
  };
}

const SHORTEST_MEASURED_S = 0.1;

/**
 * How fast a turn's answer came: milliseconds to the first token, and tokens a second after it.
 * An answer that arrived in one go, or was resumed, says nothing about the latter.
 */
export function pace(turn) {
  if (turn.firstAt === null) return null;
  const seconds = turn.endedAt === null ? 0 : (turn.endedAt - turn.firstAt) / 1000;
  const more = (turn.usage?.output_tokens ?? 0) - 1;
  return {
    firstTokenMs: turn.firstAt - turn.askedAt,
    tokensPerSecond: seconds >= SHORTEST_MEASURED_S && more > 0 && !turn.resumedAt ? more / seconds : null,
  };
}

/** The cost of one turn in micro-dollars, or null while it is unknown. */
export function turnCostMicro(turn) {
  return turn.usage?.cost_usd === undefined ? null : microFromUsd(turn.usage.cost_usd);
}

/** The newest picture that was sent up to a turn: the one its boxes are drawn on. */
export function pictureOf(state, turn) {
  const until = state.turns.indexOf(turn);
  return state.turns.slice(0, until + 1).findLast((each) => each.picture !== null)?.picture ?? null;
}
