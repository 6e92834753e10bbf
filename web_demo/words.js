/** The page's words for what happens, in English; said through the catalogue. */

import { language, t } from "./i18n.js";

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

const STORE = "The server can't reach its store right now. Ask again in a moment.";
const ERRORS = {
	invalid_api_key: "The server does not accept this key. Check that it is whole, or use another one.",
	server_unreachable: "The server can't be reached. Is it running, and are you online?",
	previous_response_not_found: "The server no longer has the earlier part of this conversation. Asking again starts a new one.",
	conversation_not_found: "This conversation was deleted. Begin a new one.",
	conversation_locked: "Another answer is being written in this conversation. Wait for it, or stop it.",
	context_length_exceeded: "This is too long for the model. Shorten the question, or begin a new conversation.",
	rate_limit_exceeded: "Too many questions at once. Wait a moment, then ask again.",
	insufficient_quota: "The budget of this account is used up. Raise it, or use another key.",
	server_unavailable: "The server takes no questions right now: it is starting, or about to restart. Ask again in a moment.",
	expired_api_key: "This key has expired. Use another one, or sign in again.",
	insufficient_scope: "This key may not do that. Use one that may, or sign in.",
	too_many_attempts: "Too many attempts. Wait a few minutes, then try again.",
	store_unavailable: STORE,
	log_unavailable: STORE,
	wrong_password: "There is no account with this email and password.",
	email_taken: "There is an account with this email already. Sign in to it.",
	registration_closed: "This server takes no registrations. Ask who runs it for a key.",
	session_closed: "This session was closed. Asking again opens a new one.",
	server_busy: "The server is busy right now. Ask again in a moment.",
};

/** An error of the server or of the page → a sentence that a person understands. */
export function errorInWords({ status, code, message } = {}) {
	// Where a connection is closed, its code is all that is said.
	const known = [code, message].find((each) => Object.hasOwn(ERRORS, each ?? ""));
	if (known) return t(ERRORS[known]);
	if (message) return sentence(message);
	if (status === 401) return t(ERRORS.invalid_api_key);
	if (status === 429) return t(ERRORS.rate_limit_exceeded);
	if (status === 0) return t(ERRORS.server_unreachable);
	if (code === "policy") return t("The server ended the connection.");
	return t("Something went wrong in the server. What you see is kept; you can ask again.");
}

const CUT = "Cut off at the longest answer allowed.";
const ENDINGS = {
	cancelled: "Stopped.",
	max_output_tokens: CUT,
	length: CUT,
	budget: "Stopped: the budget is used up.",
	steered: "Gone on in the next answer.",
};

/** Why an answer is not whole. */
export function endingInWords(reason) {
	return t(ENDINGS[reason] ?? "The answer ended early.");
}

/** `count(2, "token")` → "2 tokens" */
export function count(number, one) {
	return t(number === 1 ? `{n} ${one}` : `{n} ${one}s`, { n: whole(number) });
}

const formats = {}; // by language: one is slow to make

export function whole(number) {
	return (formats[language] ??= new Intl.NumberFormat(language)).format(number);
}

export function seconds(ms) {
	return ms < 9_950 ? `${(ms / 1000).toFixed(ms < 995 ? 2 : 1)} s` : `${Math.round(ms / 1000)} s`;
}

function sentence(text) {
	const trimmed = text.trim();
	return /[.!?…]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}
