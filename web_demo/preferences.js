/** What the user chose about the page itself, in its menu: language, theme, transport. Never a key. */

import { byId } from "./dom.js";
import { LANGUAGES, language } from "./i18n.js";
import { store, stored } from "./storage.js";

const SLOT = "kosmosx-page";

export const preferences = { language: null, theme: "auto", transport: "websocket", ...stored("localStorage", SLOT) };

/** Show the page in its theme, and the menu as things are. */
export function dress() {
	document.documentElement.dataset.theme = preferences.theme;
	for (const [name, value] of Object.entries({ ...preferences, language })) byId(name).value = value;
}

/** `talk(language)` says the page anew; the transport is asked for with the next question. */
export function offerChoices({ talk }) {
	byId("language").replaceChildren(...Object.entries(LANGUAGES).map(([code, name]) => new Option(name, code)));
	for (const name of Object.keys(preferences)) {
		byId(name).onchange = ({ target }) => {
			store("localStorage", SLOT, Object.assign(preferences, { [name]: target.value }));
			if (name === "language") void talk(target.value);
			else dress();
		};
	}
	dress();
}
