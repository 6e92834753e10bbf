/** The menu's choices: theme, language, transport. Kept as preferences. */

import { byId } from "./dom.js";
import { LANGUAGES, language } from "./i18n.js";
import { prefer, preferences } from "./preferences.js";


/** Show the page in its theme, and the menu as things are. */
export function dress() {
	document.documentElement.dataset.theme = preferences.theme;
	byId("theme").value = preferences.theme;
	byId("transport").value = preferences.transport;
	byId("language").value = language;
}

/** `talk(language)` says the page anew; the transport is asked for with the next question. */
export function offerChoices({ talk }) {
	byId("language").replaceChildren(...Object.entries(LANGUAGES).map(([code, name]) => new Option(name, code)));
	for (const name of ["theme", "transport", "language"]) {
		byId(name).onchange = ({ target }) => {
			prefer({ [name]: target.value });
			if (name === "language") void talk(target.value);
			else dress();
		};
	}
	dress();
}
