/** What the user chose about the page itself: language, theme, transport. Never a key. */

import { store, stored } from "./storage.js";

const SLOT = "kosmosx-page";

export const preferences = { language: null, theme: "auto", transport: "websocket", ...stored("localStorage", SLOT) };

export function prefer(changes) {
	store("localStorage", SLOT, Object.assign(preferences, changes));
}
