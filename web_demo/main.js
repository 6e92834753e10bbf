/** The page's composition: its parts, the key they work with, and when they are drawn. */

import { Api } from "./api.js";
import { Archive } from "./archive.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { EMPTY } from "./conversation.js";
import { byId } from "./dom.js";
import { listen } from "./hands.js";
import { drawIcons } from "./icons.js";
import { speak, t } from "./i18n.js";
import { forget, looksLikeKey, remember, rememberedKey, takeKeyFromAddress } from "./key.js";
import { dress, offerChoices, preferences } from "./preferences.js";
import { probe } from "./probe.js";
import { Sidebar } from "./sidebar.js";
import { View } from "./view.js";
import { errorInWords } from "./words.js";

const SERVER_RETRY_MS = 1_500;
const MIN_PAUSE_MS = 30; // between drawings: every other frame of most screens
const MAX_PAUSE_MS = 200;

const NO_CHAT = { state: EMPTY, closing: false, end() {} };

const ui = { key: null, keyError: null, checkingKey: false, notice: null, connection: "none", lit: null, editing: null };
const pictures = new Map(); // key → picture, of drafts and of all conversations

const page = {
	changed: redraw,
	say: (notice) => set({ notice }),
	busy: () => chat.live || chat.liveHere || chat.closing || ui.key === null,
	submit: (question, keys) => void ask(question, keys),
	shown() {
		Object.assign(ui, { editing: null, lit: null, notice: null });
		view.stage.chosen = null;
		composer.clear();
		sidebar.show(false);
		byId("log").scrollTop = byId("log").scrollHeight;
	},
	connectionChanged({ state, reason, code }) {
		ui.connection = state;
		if (state === "open") ui.notice = null;
		if (state === "unreachable") ui.notice = errorInWords({ code: "server_unreachable" });
		if (state !== "refused") return;
		if (code === "policy") ui.notice = errorInWords({ code, message: reason });
		else askForKey(errorInWords({ code, message: reason }));
	},
	sessionClosed() {
		view.render(chat, ui);
		if (chat.state.session.receipt) void showReceipt();
	},
};

let chat = NO_CHAT;
let archive = null;
let frame = null;
let drawAgainAt = 0;
let checks = 0;
const composer = new Composer({ pictures, page });
const sidebar = new Sidebar();
const view = new View({ pictures, composer, sidebar, page });

/** What the user's hands work on. */
const app = {
	ui, pictures, composer, sidebar, view, page, set, redraw, ask, useKey, askForKey, showReceipt,
	get chat() {
		return chat;
	},
	get archive() {
		return archive;
	},
};

/**
 * Draw at most thirty times a second, and a quarter of the time, however fast the tokens come and
 * however slow the machine is: the rest is for the reader's hands. A hidden tab draws when it returns.
 */
function redraw() {
	frame ??= requestAnimationFrame(() => {
		frame = null;
		const now = performance.now();
		if (now < drawAgainAt) return redraw();
		view.render(chat, ui);
		const took = performance.now() - now;
		drawAgainAt = now + Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, 4 * took));
	});
}

/** What the user does is drawn in the next frame: what is then done to it finds it there. */
function set(changes) {
	Object.assign(ui, changes);
	drawAgainAt = 0;
	redraw();
}

// -- key --

function askForKey(problem = null) {
	chat.end();
	void archive?.look(false);
	chat = NO_CHAT;
	archive = sidebar.archive = null;
	forget();
	checks += 1;
	set({ key: null, checkingKey: false, keyError: problem, connection: "none" });
	requestAnimationFrame(() => byId("key").focus());
}

async function useKey(key, { keep }) {
	if (!looksLikeKey(key)) {
		askForKey(t("This does not look like a key. It begins with kx_ and has no spaces."));
		return;
	}
	set({ checkingKey: true, keyError: null, notice: null, connection: "checking" });
	const answer = await untilAnswered(key);
	if (answer === null) return;
	const { status, model, error } = answer;
	if (status !== 200) {
		askForKey(errorInWords({ ...error, status }));
		return;
	}
	if (keep) remember(key);
	byId("key").value = "";
	chat.end();
	void archive?.look(false);
	const api = new Api(location.origin, key);
	archive = sidebar.archive = new Archive({ api, pictures, page });
	chat = new Chat({ api, model: model ?? "kosmos-x", archive, pictures, page });
	set({ key, checkingKey: false, notice: null, connection: "asleep" });
	lookOn();
	chat.api.get("/v1/budget").then((budget) => chat.dispatch({ type: "page:budget", budget }), () => {});
	requestAnimationFrame(() => byId("question").focus({ preventScroll: true }));
}

/** A server that starts, or is away, is waited for. Null if another key was given meanwhile. */
async function untilAnswered(key) {
	checks += 1;
	const mine = checks;
	for (;;) {
		const answer = await probe(location.origin, key);
		if (mine !== checks) return null;
		const down = answer.status === 0 || answer.status >= 500;
		if (!down && !answer.loading) return answer;
		set({ connection: answer.loading ? "loading" : "unreachable" });
		await new Promise((resolve) => setTimeout(resolve, SERVER_RETRY_MS));
	}
}

/** In step with other tabs and devices for as long as somebody looks. */
function lookOn() {
	void archive?.look(!document.hidden);
}

async function ask(question, keys = composer.drafts) {
	if (page.busy()) return;
	composer.drafts = [];
	view.stage.chosen = null;
	set({ lit: null, notice: null, editing: null });
	const asked = chat.ask(question, keys);
	view.render(chat, ui);
	byId("log").scrollTop = byId("log").scrollHeight;
	await asked;
}

async function showReceipt() {
	(await import("./sheets.js")).showReceipt(chat.state);
}

async function talk(wanted) {
	await speak(wanted);
	dress();
	view.forget();
	redraw();
}

function start(key) {
	if (key) void useKey(key, { keep: false });
}

drawIcons();
offerChoices({ talk });
start(takeKeyFromAddress() ?? rememberedKey());
listen(app);
document.addEventListener("visibilitychange", lookOn);
addEventListener("hashchange", () => start(takeKeyFromAddress()));
void talk(preferences.language ?? navigator.language.split("-")[0]);
