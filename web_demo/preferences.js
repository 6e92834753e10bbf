/** What the user chose about the page itself: language, theme, transport. Never a key. */

const SLOT = "kosmosx-page";
const DEFAULTS = { language: null, theme: "auto", transport: "websocket" };

export const preferences = { ...DEFAULTS, ...stored() };

export function prefer(changes) {
	Object.assign(preferences, changes);
	try {
		localStorage.setItem(SLOT, JSON.stringify(preferences));
	} catch {
		// Storage may be switched off: the choice holds for this visit.
	}
}

function stored() {
	try {
		return JSON.parse(localStorage.getItem(SLOT)) ?? {};
	} catch {
		return {};
	}
}
