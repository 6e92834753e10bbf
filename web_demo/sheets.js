/** What opens over the page: keys, code, camera, and questions before something is lost. */

import { button, byId, el, stylesheet } from "./dom.js";
import { sessionTurns } from "./figures.js";
import { t } from "./i18n.js";
import { renderReceipt } from "./receipt.js";
import { snippets } from "./snippets.js";
import { count } from "./words.js";


await stylesheet("sheets.css"); // before the first one opens

const sheet = byId("sheet");

/** Open the sheet; `closed` is called once, however it closes. */
export function openSheet(title, content, closed = () => {}) {
	byId("sheet-title").textContent = title;
	sheet.querySelector("[data-action=dismiss]").setAttribute("aria-label", t("Close"));
	byId("sheet-body").replaceChildren(...content);
	sheet.onclose = closed;
	if (!sheet.open) sheet.showModal();
}

export function showReceipt(state) {
	const questions = count(sessionTurns(state).length, "question");
	byId("receipt-body").replaceChildren(...renderReceipt(state.session, questions));
	if (!byId("receipt").open) byId("receipt").showModal();
}

export function showSession(session) {
	const text = JSON.stringify(session, null, 2);
	openSheet(t("Session"), [el("div", { class: "code" }, el("pre", { tabindex: "0" }, text))]);
}

const KEYS = [
	["Enter", "Send the question"],
	["Shift + Enter", "New line"],
	["Esc", "Stop the answer"],
	["/", "Go to the question"],
	["n", "New conversation"],
	["s", "Search conversations"],
	["b", "Show or hide the boxes"],
	["c", "Copy the last answer"],
	["e", "Edit the last question"],
	["r", "Another answer to the last question"],
	["Tab", "From phrase to phrase, each with its box"],
	["?", "This list"],
];

export function showKeys() {
	const rows = KEYS.flatMap(([key, does]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, t(does))]);
	openSheet(t("Keys of the keyboard"), [el("dl", { class: "keys" }, ...rows)]);
}

export function showCode(request, { origin, key }) {
	const found = snippets(request, { origin, key });
	const code = el("code", { dir: "ltr" });
	const tabs = Object.keys(found).map((name) =>
		button({ role: "tab", "aria-selected": "false", "aria-controls": "snippet" }, name),
	);
	const choose = (tab) => {
		for (const each of tabs) each.setAttribute("aria-selected", String(each === tab));
		code.textContent = found[tab.textContent];
	};
	const bar = el("div", { role: "tablist", class: "row", "aria-label": t("Language") }, ...tabs);
	bar.onclick = ({ target }) => tabs.includes(target) && choose(target);
	choose(tabs[0]);
	const pre = el("pre", { tabindex: "0", id: "snippet", role: "tabpanel" }, code);
	const copy = button({ class: "primary", "data-copy": "" }, t("Copy"));
	const hint = el("p", { class: "hint" }, t("Your key is masked, and pictures are cut short: put yours in."));
	openSheet(t("View code"), [bar, el("div", { class: "code" }, pre), el("div", { class: "row" }, hint, copy)]);
}

/** Ask before something is lost. → whether it was confirmed. */
export function confirmed(title, words, verb) {
	return new Promise((resolve) => {
		let said = false;
		const yes = button({ class: "danger" }, verb);
		const no = button({ autofocus: true }, t("Cancel"));
		yes.onclick = () => sheet.close((said = true));
		no.onclick = () => sheet.close();
		openSheet(title, [el("p", {}, words), el("div", { class: "row end" }, no, yes)], () => resolve(said));
	});
}

/** Look through the camera. → a picture file, or null. */
export async function photograph(say) {
	let stream;
	try {
		stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
	} catch {
		say(t("The camera can't be used. Allow it in the browser's settings, or choose a file."));
		return null;
	}
	const video = el("video", { autoplay: true, playsinline: true, muted: true, "aria-label": t("Camera") });
	const shoot = button({ class: "primary" }, t("Take the picture"));
	video.srcObject = stream;
	return new Promise((resolve) => {
		let shot = null;
		shoot.onclick = async () => {
			const canvas = document.createElement("canvas");
			Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight });
			canvas.getContext("2d").drawImage(video, 0, 0);
			shot = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
			sheet.close();
		};
		openSheet(t("Use the camera"), [video, el("div", { class: "row end" }, shoot)], () => {
			for (const track of stream.getTracks()) track.stop();
			resolve(shot);
		});
	});
}
