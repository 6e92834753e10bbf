/** Who pays: signing in and registering, the password, the account's keys, what it used and may use. */

import { Api } from "./api.js";
import { button, el } from "./dom.js";
import { download } from "./exports.js";
import { language, t } from "./i18n.js";
import { dollars, microFromUsd } from "./money.js";
import { confirmed, openSheet } from "./sheets.js";
import { errorInWords, whole } from "./words.js";

/** Sign in, or register first. → the access token, or null. */
export function signIn(origin) {
	const api = new Api(origin, null);
	const problem = el("p", { class: "error", role: "alert" });
	const register = button({}, t("Register")); // Enter signs in: it takes a form's first submit button.
	const form = el(
		"form",
		{ class: "form" },
		input("email", "email", t("Email"), "username", { autofocus: true }),
		input("password", "password", t("Password"), "current-password"),
		problem,
		el("div", { class: "row end" }, register, el("button", { type: "submit", class: "primary" }, t("Sign in"))),
	);
	return new Promise((resolve) => {
		let token = null;
		const enter = async ({ first }) => {
			const { email, password } = Object.fromEntries(new FormData(form));
			problem.textContent = "";
			try {
				if (first) await api.post("/v1/accounts", { email, password });
				token = (await api.post("/v1/accounts/sign_in", { email, password })).access_token;
				document.getElementById("sheet").close();
			} catch (error) {
				problem.textContent = errorInWords(error);
			}
		};
		whenSubmitted(form, () => enter({ first: false }));
		register.onclick = () => form.reportValidity() && void enter({ first: true });
		openSheet(t("Sign in"), [form], () => resolve(token));
	});
}

function input(name, type, label, complete, more = {}) {
	return el("label", {}, label, el("input", { name, type, required: true, autocomplete: complete, ...more }));
}

function whenSubmitted(form, work) {
	form.onsubmit = (event) => {
		event.preventDefault();
		event.stopPropagation(); // The page listens for forms, too.
		void work(event);
	};
}

/** The account's sheet: usage by day, budget, keys, password. */
export async function showAccount(api) {
	const parts = await Promise.all([usage(api), keys(api), password(api)]);
	openSheet(t("Usage and keys"), parts.flat());
}

async function section(work) {
	try {
		return await work();
	} catch (error) {
		return [el("p", { class: "error" }, errorInWords(error))];
	}
}

// -- usage --

function usage(api) {
	return section(async () => {
		const [report, ahead] = await Promise.all([api.get("/v1/usage"), api.get("/v1/usage/forecast")]);
		const csv = button({}, t("Download CSV"));
		csv.onclick = async () => {
			const answer = await api.request("GET", "/v1/usage?format=csv");
			download("usage.csv", "text/csv", await answer.text());
		};
		const figure = (name, usd) => el("div", {}, el("dt", {}, name), el("dd", {}, amount(usd)));
		return [
			el(
				"dl",
				{ class: "figures" },
				figure(t("This month"), ahead.spent_usd),
				figure(t("Projected"), ahead.projected_usd),
				ahead.left_usd === null ? null : figure(t("Left of {limit}", { limit: amount(ahead.limit_usd) }), ahead.left_usd),
			),
			chart(report.data),
			table(report.data),
			el("div", { class: "row end" }, csv),
		];
	});
}

function amount(usd) {
	if (usd.startsWith("-")) return `−${amount(usd.slice(1))}`;
	return dollars((microFromUsd(usd) / 100n) * 100n); // what is below a hundredth of a cent is noise
}

const DAY_WIDTH = 20;
const HEIGHT = 100;

/** A bar for each day of the month so far, as high as what it cost. */
function chart(rows) {
	const costs = new Map(rows.map(({ day, cost_usd: usd }) => [Number(day.slice(8)), Number(usd)]));
	const most = Math.max(...costs.values(), 0.000001);
	const days = Math.max(14, ...costs.keys());
	const label = t("Cost by day; the most was {cost}", { cost: `$${most.toFixed(2)}` });
	const svg = el("svg", { viewBox: `0 0 ${days * DAY_WIDTH} ${HEIGHT + 16}`, role: "img", class: "chart", "aria-label": label });
	for (let day = 1; day <= days; day += 1) {
		const height = ((costs.get(day) ?? 0) / most) * HEIGHT;
		svg.append(
			el("rect", { x: (day - 1) * DAY_WIDTH + 3, y: HEIGHT - height, width: DAY_WIDTH - 6, height: Math.max(1, height), rx: 3 }),
			el("text", { x: (day - 0.5) * DAY_WIDTH, y: HEIGHT + 13 }, day % 2 ? String(day) : ""),
		);
	}
	return svg;
}

function table(rows) {
	const heads = [t("Day"), t("Questions"), t("Tokens"), t("Pictures"), t("Cost")];
	const row = ({ day, turns, total_tokens: tokens, images, cost_usd: usd }) =>
		el("tr", {}, el("th", { scope: "row" }, date(day, { month: "short", day: "numeric" })), ...[turns, tokens, images].map((n) => el("td", {}, whole(n))), el("td", {}, amount(usd)));
	return el(
		"table",
		{},
		el("thead", {}, el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, name)))),
		el("tbody", {}, ...rows.map(row)),
	);
}

function date(value, style = { dateStyle: "medium" }) {
	const at = typeof value === "number" ? new Date(value * 1000) : new Date(value);
	return at.toLocaleDateString(language, { ...style, timeZone: "UTC" });
}

// -- keys --

function keys(api) {
	return section(async () => {
		const { data } = await api.get("/v1/keys?limit=100");
		const again = (made = null) => showAccount(api).then(() => made && handOut(made));
		const name = el("input", { placeholder: t("What is it for?"), "aria-label": t("Name of the new key"), maxlength: "64" });
		const form = el("form", { class: "row" }, name, el("button", { type: "submit", class: "primary" }, t("New key")));
		whenSubmitted(form, () => told(async () => again(await api.post("/v1/keys", { label: name.value }))));
		const active = data.filter(({ status }) => status === "active");
		return [el("h3", {}, t("Keys")), el("ul", { class: "own-keys" }, ...active.map((key) => keyRow(api, key, again))), form];
	});
}

function keyRow(api, { id, label, created_at: made, last_used_at: used }, again) {
	const rotate = button({}, t("Rotate"));
	const revoke = button({ class: "danger" }, t("Revoke"));
	rotate.onclick = () => told(async () => again(await api.post(`/v1/keys/${id}/rotate`)));
	revoke.onclick = async () => {
		const words = t("Whatever uses {key} is refused from then on.", { key: label || id });
		if (await confirmed(t("Revoke this key?"), words, t("Revoke"))) await told(() => api.delete(`/v1/keys/${id}`));
		await again();
	};
	const when = used ? t("last used {date}", { date: date(used) }) : t("never used");
	return el(
		"li",
		{ class: "row" },
		el("span", {}, label || id.slice(0, 16), el("small", {}, t("made {date}", { date: date(made) }), ", ", when)),
		rotate,
		revoke,
	);
}

/** A key is shown once. */
function handOut({ key }) {
	const words = t("Copy it now: it is shown this once.");
	const code = el("div", { class: "code" }, el("pre", { tabindex: "0" }, key));
	const copy = button({ class: "primary", "data-copy": true }, t("Copy"));
	openSheet(t("Your new key"), [el("p", {}, words), code, el("div", { class: "row end" }, copy)]);
}

// -- password --

/** Nothing where nobody signs in. */
function password(api) {
	return section(async () => {
		const { email } = await api.get("/v1/account");
		if (email === null) return [];
		const said = el("p", { role: "status" });
		const form = el(
			"form",
			{ class: "form" },
			el("input", { type: "email", autocomplete: "username", value: email, hidden: true }), // for password managers
			input("password", "password", t("Password"), "current-password"),
			input("new_password", "password", t("New password"), "new-password"),
			said,
			el("div", { class: "row end" }, el("button", { type: "submit" }, t("Change password"))),
		);
		whenSubmitted(form, async () => {
			said.className = said.textContent = "";
			try {
				await api.post("/v1/account/password", Object.fromEntries(new FormData(form)));
				form.reset();
				said.textContent = t("From now on you sign in with the new password.");
			} catch (error) {
				said.className = "error";
				said.textContent = error.code === "wrong_password" ? t("This is not the password of this account.") : errorInWords(error);
			}
		});
		return [el("h3", {}, email), form];
	});
}

async function told(work) {
	try {
		await work();
	} catch (error) {
		openSheet(t("That did not work."), [el("p", { class: "error" }, errorInWords(error))]);
	}
}
