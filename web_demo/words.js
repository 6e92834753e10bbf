/** The page's words for what happens. One place, so that they can be translated one day. */

export const CONNECTION = {
  none: "No key yet",
  checking: "Checking the key…",
  loading: "The model is loading…",
  connecting: "Connecting…",
  open: "Ready",
  streaming: "Answering",
  reconnecting: "Connection lost. Reconnecting…",
  asleep: "Ready",
  refused: "Refused",
  unreachable: "The server does not answer",
  closed: "Session closed",
};

const ERRORS = {
  invalid_api_key: "The server does not accept this key. Check that it is whole, or use another one.",
  connection_lost: "The connection was lost before the server confirmed the question.",
  server_unreachable: "The server can't be reached. Is it running, and are you online?",
  previous_response_not_found: "The server no longer has the earlier part of this conversation. Asking again starts a new one.",
  context_length_exceeded: "This is too long for the model. Shorten the question, or start a new session.",
  rate_limit_exceeded: "Too many questions at once. Wait a moment, then ask again.",
  insufficient_quota: "The budget of this account is used up.",
  budget_exceeded: "The budget of this account is used up.",
  server_unavailable: "The server takes no questions right now: it is starting, or about to restart. Ask again in a moment.",
  session_closed: "This session was closed. Asking again opens a new one.",
  server_is_overloaded: "The server is busy right now. Ask again in a moment.",
};

/** An error of the server or of the page → a sentence that a person understands. */
export function errorInWords({ status, code, type, message } = {}) {
  if (Object.hasOwn(ERRORS, code ?? "")) return ERRORS[code];
  if (status === 401) return ERRORS.invalid_api_key;
  if (status === 429) return ERRORS.rate_limit_exceeded;
  if (status === 0) return ERRORS.server_unreachable;
  if (message) return sentence(message);
  if (code === "policy") return "The server ended the connection.";
  return "Something went wrong in the server. What you see is kept; you can ask again.";
}

const ENDINGS = {
  cancelled: "Stopped.",
  max_output_tokens: "Cut off at the longest answer allowed.",
  length: "Cut off at the longest answer allowed.",
  budget: "Stopped: the budget is used up.",
  content_filter: "Stopped by a filter.",
};

/** Why an answer is not whole. */
export function endingInWords(reason) {
  return ENDINGS[reason] ?? "The answer ended early.";
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en-US")} ${number === 1 ? one : many}`;
}

export function seconds(ms) {
  return ms < 9_950 ? `${(ms / 1000).toFixed(ms < 995 ? 2 : 1)} s` : `${Math.round(ms / 1000)} s`;
}

function sentence(text) {
  const trimmed = text.trim();
  return /[.!?…]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}
