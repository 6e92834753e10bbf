/** What the user's hands do: clicks, keys, pointing; and what is done for them. */

import { shownTurns } from "./conversation.js";
import { byId } from "./dom.js";
import { t } from "./i18n.js";
import { listenToKeys } from "./keyboard.js";

const NARROW = matchMedia("(max-width: 1100px)");

let app = null; // the page's parts, as main.js has them

function restart() {
	byId("receipt").close();
	app.chat.newSession();
	void app.archive.open(null);
	app.set({ connection: "asleep" });
	requestAnimationFrame(() => byId("question").focus());
}

function newConversation() {
	void app.archive?.open(null);
	byId("question").focus();
}

const versions = () => import("./versions.js");

async function askInstead(key, question) {
	await (await versions()).askInstead(app.chat, key, question);
}

/** What opens over the page is loaded when it first does. */
const sheets = () => import("./sheets.js");

async function open(id, turnId) {
	await app.archive.open(id);
	const found = shownTurns(app.chat.state).find(({ responseId }) => responseId === turnId);
	if (!found) return;
	await app.view.loadAnswers();
	app.set({});
	requestAnimationFrame(() => document.querySelector(`article[data-key="${found.key}"]`)?.scrollIntoView());
}

async function remove({ id, title }) {
	const { confirmed } = await sheets();
	if (await confirmed(t("Delete this conversation?"), title, t("Delete"))) await app.archive.remove(id);
}

async function copy(text) {
	const done = await navigator.clipboard.writeText(text).then(() => true, () => false);
	app.view.say(t(done ? "Copied." : "The browser did not allow copying."));
	if (!done) app.page.say(t("The browser did not allow copying."));
}

const ACTS = {
	edit: (turn) => {
		app.set({ editing: turn.key });
		requestAnimationFrame(() => document.querySelector(".editor textarea")?.focus());
	},
	unedit: () => app.set({ editing: null }),
	copy: (turn) => void copy(turn.text),
	again: (turn) => void askInstead(turn.key, turn.question),
	code,
	version: async (turn, { number }) => (await versions()).switchVersion(app.archive, turn, Number(number)),
};

const ACTIONS = {
	choose: () => byId("file").click(),
	camera: async () => {
		const shot = await (await sheets()).photograph(app.page.say);
		if (shot) await app.composer.attach([shot], { name: t("photo") });
	},
	new: newConversation,
	restart,
	code: () => code(shownTurns(app.chat.state).at(-1)),
	markdown: () => exported("Markdown"),
	json: () => exported("Json"),
	help,
	account: async () => (await import("./account.js")).showAccount(app.chat.api),
	"sign-in": async () => {
		const token = await (await import("./account.js")).signIn(location.origin);
		if (token) void app.useKey(token, { keep: byId("remember").checked });
	},
	session: async ({ dataset }) => (await sheets()).showSession(await app.chat.api.get(`/v1/sessions/${dataset.session}`)),
	dismiss: (button) => button.closest("dialog").close(),
};

async function exported(kind) {
	const exports = await import("./exports.js");
	exports[`exportAs${kind}`](app.archive.entry?.title || "Kosmos-X", shownTurns(app.chat.state), app.pictures);
}

async function help() {
	(await sheets()).showKeys();
}

async function code(turn) {
	(await sheets()).showCode(app.chat.requestOf(turn), { origin: location.origin, key: app.ui.key });
}

function onClick({ target }) {
	const at = (selector) => target.closest?.(selector);
	const action = at("[data-action]");
	const act = at("[data-act]");
	if (at("#menu button")) byId("menu").hidePopover();
	if (action) void ACTIONS[action.dataset.action](action);
	else if (act) ACTS[act.dataset.act](app.chat.turn(act.dataset.turn), act.dataset);
	else if (at("[data-sample]")) {
		const { sample, alt } = at("[data-sample]").dataset;
		void app.composer.attachSample(sample, alt);
	} else if (at("[data-idea]")) void app.ask(at("[data-idea]").textContent);
	else if (at("[data-copy]")) void copy((at(".code") ?? byId("sheet")).querySelector("pre").textContent);
	else if (at(".thumb")) look(at(".thumb").dataset);
	else if (at("[data-ref]")) choose(at("[data-ref]").dataset.ref);
	else if (app.sidebar.isShown && !at("#archive, #toggle-archive")) app.sidebar.show(false);
}

function look({ turn, picture }) {
	app.composer.drafts = [];
	app.view.stage.chosen = { turn, picture };
	app.redraw();
}

/** Light up what is pointed at or else has the focus, and show the picture that it belongs to. */
function light(target) {
	const source = target?.closest?.("[data-ref]") ?? document.activeElement?.closest("[data-ref]");
	const ref = source?.dataset.ref ?? null;
	const turn = source?.closest(".answer")?.dataset.turn;
	if (ref === app.ui.lit) return;
	app.ui.lit = ref;
	if (ref && turn && !app.composer.drafts.length && app.view.stage.chosen?.turn !== turn) {
		app.view.stage.chosen = { turn };
		app.redraw();
	} else app.view.light(ref);
}

/** A click keeps the light on: the phrase takes the focus. */
function choose(ref) {
	app.set({ lit: ref });
	app.view.focusPhrase(ref);
}

const SHORTCUTS = {
	"?": help,
	"/": () => byId("question").focus(),
	n: newConversation,
	s: () => (app.sidebar.show(NARROW.matches), byId("search").focus()),
	b: () => toggleBoxes(),
	c: () => lastDone((turn) => ACTS.copy(turn)),
	e: () => lastDone((turn) => ACTS.edit(turn)),
	r: () => lastDone((turn) => ACTS.again(turn)),
};

function lastDone(use) {
	const turn = shownTurns(app.chat.state).at(-1);
	if (turn && !app.page.busy()) use(turn);
}

function toggleBoxes() {
	app.view.stage.boxes = !app.view.stage.boxes;
	app.redraw();
}

function escape() {
	if (app.ui.editing) ACTS.unedit();
	else if (app.sidebar.isShown) app.sidebar.show(false);
	else if (app.chat.live ?? app.chat.liveHere) app.chat.stop();
}

function onSubmit(event) {
	event.preventDefault();
	const { target } = event;
	if (target.matches(".editor")) {
		const question = target.querySelector("textarea").value.trim();
		const key = target.dataset.turn;
		app.ui.editing = null;
		if (question) void askInstead(key, question);
	} else if (target.id === "key-form") {
		void app.useKey(byId("key").value.trim(), { keep: byId("remember").checked });
	} else if (app.chat.live ?? app.chat.liveHere) app.chat.stop();
	else app.composer.submit();
}

/** Listen to the hands for as long as the page lives. */
export function listen(parts) {
	app = parts;
	Object.assign(app.sidebar, { onOpen: open, onDelete: remove });
	document.addEventListener("click", onClick);
	listenToKeys({ shortcuts: SHORTCUTS, escape, ready: () => app.ui.key !== null });
	document.addEventListener("submit", onSubmit);
	for (const type of ["pointerover", "focusin"]) {
		document.addEventListener(type, ({ target }) => light(target));
	}
	document.addEventListener("focusout", ({ relatedTarget }) => light(relatedTarget));
	document.documentElement.addEventListener("pointerleave", () => light(null));
	addEventListener("online", () => app.archive && void app.chat.hurry());
	byId("toggle-archive").onclick = () => app.sidebar.show(!app.sidebar.isShown);
	byId("change-key").onclick = () => app.askForKey();
	byId("close-session").onclick = () => app.chat.closeSession();
	byId("show-receipt").onclick = app.showReceipt;
	byId("toggle-boxes").onclick = toggleBoxes;
}
