/** The user's language: English is the key, `locales/*.json` have the others. */

export const LANGUAGES = { en: "English", de: "Deutsch" };
const DIRECTION = ":dir";
const ATTRIBUTES = ["aria-label", "placeholder", "title", "alt"];

let words = {};
export let language = "en";

/** Take up a language, and say in it what stands on the page. */
export async function speak(wanted) {
	const known = Object.hasOwn(LANGUAGES, wanted) ? wanted : "en";
	const response = known === "en" ? null : await fetch(`locales/${known}.json`).catch(() => null);
	if (known !== "en" && !response?.ok) return;
	words = (await response?.json()) ?? {};
	language = known;
	Object.assign(document.documentElement, { lang: known, dir: words[DIRECTION] ?? "ltr" });
	translate(document.body);
}

/** `t("resumed at token {n}", {n: 118})` */
export function t(english, values = {}) {
	const said = words[english] ?? english;
	return said.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

const originals = new WeakMap(); // node → its English words

function translate(root) {
	const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT, {
		// What is drawn from state is drawn anew.
		acceptNode: (node) => (node.translate === false ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT),
	});
	for (let node = walker.nextNode(); node; node = walker.nextNode()) {
		if (node.nodeType === Node.TEXT_NODE) {
			const text = original(node, "text", node.data);
			const core = text.trim();
			if (core) node.data = text.replace(core, () => t(core));
			continue;
		}
		for (const name of ATTRIBUTES) {
			if (node.getAttribute(name)) node.setAttribute(name, t(original(node, name, node.getAttribute(name))));
		}
	}
}

function original(node, name, now) {
	if (!originals.has(node)) originals.set(node, {});
	return (originals.get(node)[name] ??= now);
}
