/** The page's composition: its parts, the key they work with, and what the user's hands do. */

import { Api } from "./api.js";
import { Archive } from "./archive.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { EMPTY, shownTurns } from "./conversation.js";
import { byId } from "./dom.js";
import { drawIcons } from "./icons.js";
import { speak, t } from "./i18n.js";
import { forget, looksLikeKey, remember, rememberedKey, takeKeyFromAddress } from "./key.js";
import { listenToKeys } from "./keyboard.js";
import { dress, offerChoices, preferences } from "./preferences.js";
import { probe } from "./probe.js";
import { Sidebar } from "./sidebar.js";
import { View } from "./view.js";
import { errorInWords } from "./words.js";

const SERVER_RETRY_MS = 1_500;
const MIN_PAUSE_MS = 30; // between drawings: every other frame of most screens
const MAX_PAUSE_MS = 200;
const NARROW = matchMedia("(max-width: 1100px)");

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
		showArchive(false);
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
sidebar.onOpen = async (id, turnId) => {
	await archive.open(id);
	const found = shownTurns(chat.state).find(({ responseId }) => responseId === turnId);
	if (!found) return;
	await view.loadAnswers();
	set({});
	requestAnimationFrame(() => document.querySelector(`article[data-key="${found.key}"]`)?.scrollIntoView());
};
sidebar.onDelete = async ({ id, title }) => {
	const { confirmed } = await sheets();
	if (await confirmed(t("Delete this conversation?"), title, t("Delete"))) await archive.remove(id);
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

// -- what the user wants --

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
	(await sheets()).showReceipt(chat.state);
}

function restart() {
	byId("receipt").close();
	chat.newSession();
	void archive.open(null);
	set({ connection: "asleep" });
	requestAnimationFrame(() => byId("question").focus());
}

function newConversation() {
	void archive?.open(null);
	byId("question").focus();
}

function showArchive(shown) {
	document.body.toggleAttribute("data-archive", shown);
	byId("toggle-archive").setAttribute("aria-expanded", String(shown));
	if (shown) byId("search").focus();
}

const versions = () => import("./versions.js");

async function askInstead(key, question) {
	await (await versions()).askInstead(chat, key, question);
}

/** What opens over the page is loaded when it first does. */
const sheets = () => import("./sheets.js");

async function copy(text) {
	const done = await navigator.clipboard.writeText(text).then(() => true, () => false);
	view.say(t(done ? "Copied." : "The browser did not allow copying."));
	if (!done) page.say(t("The browser did not allow copying."));
}

const ACTS = {
	edit: (turn) => {
		set({ editing: turn.key });
		requestAnimationFrame(() => document.querySelector(".editor textarea")?.focus());
	},
	unedit: () => set({ editing: null }),
	copy: (turn) => void copy(turn.text),
	again: (turn) => void askInstead(turn.key, turn.question),
	code,
	version: async (turn, { number }) => (await versions()).switchVersion(archive, turn, Number(number)),
};

const ACTIONS = {
	choose: () => byId("file").click(),
	camera: async () => {
		const shot = await (await sheets()).photograph(page.say);
		if (shot) await composer.attach([shot], { name: t("photo") });
	},
	new: newConversation,
	restart,
	code: () => code(shownTurns(chat.state).at(-1)),
	markdown: () => exported("Markdown"),
	json: () => exported("Json"),
	help,
	account: async () => (await import("./account.js")).showAccount(chat.api),
	"sign-in": async () => {
		const token = await (await import("./account.js")).signIn(location.origin);
		if (token) void useKey(token, { keep: byId("remember").checked });
	},
	session: async ({ dataset }) => (await sheets()).showSession(await chat.api.get(`/v1/sessions/${dataset.session}`)),
	dismiss: (button) => button.closest("dialog").close(),
};

async function exported(kind) {
	const exports = await import("./exports.js");
	exports[`exportAs${kind}`](archive.entry?.title || "Kosmos-X", shownTurns(chat.state), pictures);
}

async function help() {
	(await sheets()).showKeys();
}

async function code(turn) {
	(await sheets()).showCode(chat.requestOf(turn), { origin: location.origin, key: ui.key });
}

// -- hands --

function onClick({ target }) {
	const at = (selector) => target.closest?.(selector);
	const action = at("[data-action]");
	const act = at("[data-act]");
	if (at("#menu button")) byId("menu").hidePopover();
	if (action) void ACTIONS[action.dataset.action](action);
	else if (act) ACTS[act.dataset.act](chat.turn(act.dataset.turn), act.dataset);
	else if (at("[data-sample]")) {
		const { sample, alt } = at("[data-sample]").dataset;
		void composer.attachSample(sample, alt);
	} else if (at("[data-idea]")) void ask(at("[data-idea]").textContent);
	else if (at("[data-copy]")) void copy((at(".code") ?? byId("sheet")).querySelector("pre").textContent);
	else if (at(".thumb")) look(at(".thumb").dataset);
	else if (at("[data-ref]")) choose(at("[data-ref]").dataset.ref);
	else if (document.body.hasAttribute("data-archive") && !at("#archive, #toggle-archive")) showArchive(false);
}

function look({ turn, picture }) {
	composer.drafts = [];
	view.stage.chosen = { turn, picture };
	redraw();
}

/** Light up what is pointed at or else has the focus, and show the picture that it belongs to. */
function light(target) {
	const source = target?.closest?.("[data-ref]") ?? document.activeElement?.closest("[data-ref]");
	const ref = source?.dataset.ref ?? null;
	const turn = source?.closest(".answer")?.dataset.turn;
	if (ref === ui.lit) return;
	ui.lit = ref;
	if (ref && turn && !composer.drafts.length && view.stage.chosen?.turn !== turn) {
		view.stage.chosen = { turn };
		redraw();
	} else view.light(ref);
}

/** A click keeps the light on: the phrase takes the focus. */
function choose(ref) {
	set({ lit: ref });
	view.focusPhrase(ref);
}

const SHORTCUTS = {
	"?": help,
	"/": () => byId("question").focus(),
	n: newConversation,
	s: () => (showArchive(NARROW.matches), byId("search").focus()),
	b: () => toggleBoxes(),
	c: () => lastDone((turn) => ACTS.copy(turn)),
	e: () => lastDone((turn) => ACTS.edit(turn)),
	r: () => lastDone((turn) => ACTS.again(turn)),
};

function lastDone(use) {
	const turn = shownTurns(chat.state).at(-1);
	if (turn && !page.busy()) use(turn);
}

function toggleBoxes() {
	view.stage.boxes = !view.stage.boxes;
	redraw();
}

function escape() {
	if (ui.editing) ACTS.unedit();
	else if (document.body.hasAttribute("data-archive")) showArchive(false);
	else if (chat.live ?? chat.liveHere) chat.stop();
}

function onSubmit(event) {
	event.preventDefault();
	const { target } = event;
	if (target.matches(".editor")) {
		const question = target.querySelector("textarea").value.trim();
		const key = target.dataset.turn;
		ui.editing = null;
		if (question) void askInstead(key, question);
	} else if (target.id === "key-form") {
		void useKey(byId("key").value.trim(), { keep: byId("remember").checked });
	} else if (chat.live ?? chat.liveHere) chat.stop();
	else composer.submit();
}

/** In step with other tabs and devices for as long as somebody looks. */
function lookOn() {
	void archive?.look(!document.hidden);
}

function wire() {
	document.addEventListener("click", onClick);
	listenToKeys({ shortcuts: SHORTCUTS, escape, ready: () => ui.key !== null });
	document.addEventListener("submit", onSubmit);
	for (const type of ["pointerover", "focusin"]) {
		document.addEventListener(type, ({ target }) => light(target));
	}
	document.addEventListener("focusout", ({ relatedTarget }) => light(relatedTarget));
	document.documentElement.addEventListener("pointerleave", () => light(null));
	document.addEventListener("visibilitychange", lookOn);
	addEventListener("online", () => archive && void chat.hurry());
	byId("toggle-archive").onclick = () => showArchive(!document.body.hasAttribute("data-archive"));
	byId("change-key").onclick = () => askForKey();
	byId("close-session").onclick = () => chat.closeSession();
	byId("show-receipt").onclick = showReceipt;
	byId("toggle-boxes").onclick = toggleBoxes;
	addEventListener("hashchange", () => start(takeKeyFromAddress()));
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
wire();
void talk(preferences.language ?? navigator.language.split("-")[0]);
